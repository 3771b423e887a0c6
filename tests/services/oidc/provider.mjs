// An OpenID Connect provider for tests: `provider.mjs MODULES PORT REDIRECT_URI…`.
//
// MODULES is the `node_modules` folder with `oidc-provider`. The issuer is http://127.0.0.1:PORT, and nothing else listens
// there. One client, `sonde-test` with the secret `sonde-test-secret` (basic authentication or in the form), may send
// people back to the given addresses with a code, if it uses PKCE (S256). An address on loopback may have any port.
//
// Whoever signs in is who they say: the login is `sub` and `email`, without a password. The address of a login that
// begins with `unverified` is not verified. SIGTERM ends it.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [modules, port, ...redirects] = process.argv.slice(2)
const found = createRequire(`${modules}/`).resolve('oidc-provider')
const { default: Provider } = await import(pathToFileURL(found))

const scope = 'openid email profile'
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'sonde-test',
    client_secret: 'sonde-test-secret',
    application_type: 'native', // RFC 8252, 7.3: its ports on loopback are not known in advance
    redirect_uris: redirects,
    grant_types: ['authorization_code'],
    response_types: ['code'],
    scope,
  }],
  scopes: ['openid'],
  claims: {
    email: ['email', 'email_verified'],
    profile: ['name'],
  },
  conformIdTokenClaims: false, // what the scopes ask for is in the ID token, as with most providers
  responseTypes: ['code'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post'],
  cookies: { keys: ['only for tests'] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, { uid }) => `/interaction/${uid}` },
  pkce: { required: () => true },
  findAccount: (_, login) => ({
    accountId: login,
    claims: () => ({
      sub: login,
      email: login,
      email_verified: !login.startsWith('unverified'),
      name: `${login} by name`,
    }),
  }),
  // Nobody is asked for consent.
  loadExistingGrant: async ({ oidc }) => {
    const { client, session } = oidc
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
    grant.addOIDCScope(scope)
    await grant.save()
    return grant
  },
})

const form = `<!doctype html><title>Sign in</title><form method="post">
<input name="login" autofocus><button>Sign in</button><button name="deny" value="1">Deny</button></form>`

// The form, and where it is sent to: `login=NAME`, or `deny=1`.
provider.use(async (context, next) => {
  if (!context.path.startsWith('/interaction/')) return next()
  if (context.method === 'GET') {
    context.body = form
    return
  }
  let body = ''
  for await (const chunk of context.req) body += chunk
  const answers = new URLSearchParams(body)
  const result = answers.has('deny')
    ? { error: 'access_denied' }
    : { login: { accountId: answers.get('login') }, consent: {} }
  context.respond = false
  await provider.interactionFinished(context.req, context.res, result)
})

provider.on('server_error', (_, error) => console.error(error))
provider.listen(Number(port), '127.0.0.1')
