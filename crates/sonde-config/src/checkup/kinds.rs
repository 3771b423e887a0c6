//! Checkup's five types of checkers.

use std::collections::BTreeMap;
use std::time::Duration;

use sonde_core::{
    Assertion, Comparator, DnsClass, DnsSpec, DnsTransport, ExecSpec, HttpSpec, NetworkOptions,
    Source, Spec, TcpSpec, TlsOptions, TlsSpec, Unit, Value,
};

use super::{Checker, DEFAULT_TIMEOUT, content, nanoseconds, number, timeout};
use crate::decode::Item;
use crate::fields::Fields;
use crate::{address, kind, monitor};

/// Where Checkup gives up connecting by tcp and dns.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Closer to its end than this, a certificate degrades.
const EXPIRY_THRESHOLD: Duration = Duration::from_hours(14 * 24);

#[derive(Clone, Copy)]
pub(super) enum Type {
    Http,
    Tcp,
    Dns,
    Tls,
    Exec,
}

const TYPES: [(&str, Type); 5] = [
    ("http", Type::Http),
    ("tcp", Type::Tcp),
    ("dns", Type::Dns),
    ("tls", Type::Tls),
    ("exec", Type::Exec),
];

/// The type that a checker names.
pub(super) fn of(item: &Item<'_>) -> Option<Type> {
    let entries = item.entries()?;
    let Some((_, named)) = entries.iter().find(|(key, _)| *key == "type") else {
        item.problem("`type` is missing");
        return None;
    };
    named.choice(&TYPES)
}

impl Type {
    pub(super) const fn section(self) -> &'static str {
        match self {
            Self::Http => "an http checker",
            Self::Tcp => "a tcp checker",
            Self::Dns => "a dns checker",
            Self::Tls => "a tls checker",
            Self::Exec => "an exec checker",
        }
    }

    pub(super) const fn name_key(self) -> &'static str {
        match self {
            Self::Exec => "name",
            _ => "endpoint_name",
        }
    }

    pub(super) const fn has_spacing(self) -> bool {
        matches!(self, Self::Http | Self::Exec)
    }

    pub(super) fn decode(self, fields: &mut Fields<'_>) -> Option<Checker> {
        match self {
            Self::Http => http(fields),
            Self::Tcp => tcp(fields),
            Self::Dns => dns(fields),
            Self::Tls => tls(fields),
            Self::Exec => exec(fields),
        }
    }
}

/// 200 to 204 unless `up_status` says otherwise, the first answer taken as it is, no compression.
fn http(fields: &mut Fields<'_>) -> Option<Checker> {
    let target = fields
        .required("endpoint_url")
        .and_then(|item| item.parse(kind::parse_url));
    let headers = fields
        .take("headers")
        .map(|item| kind::headers(&item))
        .unwrap_or_default();
    let skip_verify = fields
        .take("insecureSkipVerify")
        .and_then(|item| item.boolean())
        .unwrap_or(false);
    let mut expect = vec![up_status(fields)];
    expect.extend(content(fields, &Source::Body));
    let (url, auth) = target?;
    let spec = HttpSpec {
        headers,
        auth,
        tls: TlsOptions {
            skip_verify,
            ..TlsOptions::default()
        },
        max_redirects: 0,
        compression: false,
        ..HttpSpec::get(url)
    };
    let spec = Spec::Http(Box::new(spec));
    Some(Checker {
        target: spec.target(),
        spec,
        timeout: DEFAULT_TIMEOUT,
        expect,
        degraded: Vec::new(),
    })
}

/// Of `up_status` and `up_status_range` the range counts, open to both sides where it says nothing.
fn up_status(fields: &mut Fields<'_>) -> Assertion {
    let status = |item: Option<Item<'_>>| -> Option<u16> {
        item.and_then(|item| item.integer(0, 999))
            .filter(|status| *status > 0)
    };
    let single_item = fields.take("up_status");
    let single = status(single_item.clone());
    let range = fields.take("up_status_range").and_then(|item| {
        item.fields("an up_status_range", |fields| {
            (status(fields.take("min")), status(fields.take("max")))
        })
    });
    let (low, high) = match (range, single) {
        (Some((min, max)), _) if min.is_some() || max.is_some() => {
            if let (Some(item), Some(_)) = (single_item, single) {
                item.warning("not taken over: up_status_range stands beside it");
            }
            (min.unwrap_or(0), max.unwrap_or(999))
        }
        (_, Some(single)) => {
            return number(Source::Status, Comparator::Equal, single.into(), Unit::None);
        }
        _ => (200, 204),
    };
    let bound = |status: u16| Box::new(Value::Number(status.into(), Unit::None));
    Assertion {
        source: Source::Status,
        comparator: Comparator::In,
        value: Value::Range(bound(low), bound(high)),
    }
}

fn tcp(fields: &mut Fields<'_>) -> Option<Checker> {
    let target = endpoint(fields);
    let enabled = fields
        .take("tls")
        .and_then(|item| item.boolean())
        .unwrap_or(false);
    let skip_verify = fields
        .take("tls_skip_verify")
        .and_then(|item| item.boolean())
        .unwrap_or(false);
    let ca = fields.take("tls_ca_file").and_then(|item| {
        item.warning("trusted instead of the system's certificates, where Checkup trusted both");
        kind::certificates(&item)
    });
    let timeout = timeout(fields, CONNECT_TIMEOUT);
    let (host, port) = target?;
    let tls = enabled.then(|| TlsOptions {
        skip_verify,
        ca,
        ..TlsOptions::default()
    });
    Some(connection(host, port, tls, timeout))
}

fn connection(host: String, port: u16, tls: Option<TlsOptions>, timeout: Duration) -> Checker {
    let network = NetworkOptions::default();
    let spec = Spec::Tcp(Box::new(TcpSpec {
        host,
        port,
        tls,
        dialogue: Vec::new(),
        network,
    }));
    Checker {
        target: spec.target(),
        spec,
        timeout,
        expect: Vec::new(),
        degraded: Vec::new(),
    }
}

/// `host:port`, as Go dials it.
fn endpoint(fields: &mut Fields<'_>) -> Option<(String, u16)> {
    let item = fields.required("endpoint_url")?;
    item.parse(|text| address::host_port(text, None))
}

/// Any answer is good, whatever it says; without a name to ask for, Checkup only connects.
fn dns(fields: &mut Fields<'_>) -> Option<Checker> {
    let item = fields.required("endpoint_url");
    let target = item
        .as_ref()
        .and_then(|item| item.parse(|text| address::host_port(text, None)));
    let name = fields
        .take("hostname_fqdn")
        .filter(|item| item.text() != Some(""))
        .map(|item| item.parse(kind::dns_name));
    let timeout = timeout(fields, CONNECT_TIMEOUT);
    let (host, port) = target?;
    let Some(name) = name else {
        return Some(connection(host, port, None, timeout));
    };
    let spec = Spec::Dns(Box::new(DnsSpec {
        name: name?,
        record_type: "A".to_owned(),
        class: DnsClass::In,
        server: item?.text().map(str::to_owned),
        transport: DnsTransport::Udp,
        recursion: true,
        tls: TlsOptions::default(),
        network: NetworkOptions::default(),
    }));
    let expect = vec![
        Assertion {
            source: Source::DnsRcode,
            comparator: Comparator::IsNotEmpty,
            value: Value::Nothing,
        },
        number(
            Source::DnsCount,
            Comparator::GreaterOrEqual,
            0.0,
            Unit::None,
        ),
    ];
    Some(Checker {
        target: spec.target(),
        spec,
        timeout,
        expect,
        degraded: Vec::new(),
    })
}

fn tls(fields: &mut Fields<'_>) -> Option<Checker> {
    let target = endpoint(fields);
    let threshold = fields
        .take("cert_expiry_threshold")
        .and_then(|item| nanoseconds(&item));
    let threshold = threshold
        .filter(|threshold| !threshold.is_zero())
        .unwrap_or(EXPIRY_THRESHOLD);
    let roots = fields
        .take("trusted_roots")
        .and_then(|item| item.list_of(|item| kind::certificates(&item)));
    let ca = roots
        .filter(|roots| !roots.is_empty())
        .map(|roots| roots.join("\n"));
    let timeout = timeout(fields, DEFAULT_TIMEOUT);
    let (host, port) = target?;
    let tls = TlsOptions {
        ca,
        ..TlsOptions::default()
    };
    let network = NetworkOptions::default();
    let spec = Spec::Tls(Box::new(TlsSpec {
        host,
        port,
        tls,
        starttls: None,
        network,
    }));
    let days = threshold.as_secs_f64() / 86_400.0;
    let degraded = vec![number(
        Source::TlsDaysLeft,
        Comparator::Less,
        days,
        Unit::None,
    )];
    Some(Checker {
        target: spec.target(),
        spec,
        timeout,
        expect: Vec::new(),
        degraded,
    })
}

/// With `raise: warn` whatever fails only degrades.
fn exec(fields: &mut Fields<'_>) -> Option<Checker> {
    monitor::check_exec(&fields.item);
    let command = fields.required("command").and_then(|item| item.filled());
    let arguments = fields
        .take("arguments")
        .and_then(|item| item.list_of(|item| item.scalar().map(str::to_owned)));
    let raise = fields.take("raise");
    let raise =
        raise.and_then(|item| item.choice(&[("error", false), ("warn", true), ("warning", true)]));
    let warn_only = raise.unwrap_or(false);
    let content = content(fields, &Source::ExecOutput);
    let (expect, degraded) = if warn_only {
        (Vec::new(), content.iter().map(Assertion::negated).collect())
    } else {
        (content, Vec::new())
    };
    let spec = Spec::Exec(ExecSpec {
        command: command?.to_owned(),
        arguments: arguments.unwrap_or_default(),
        environment: BTreeMap::new(),
        warn_only,
    });
    Some(Checker {
        target: spec.target(),
        spec,
        timeout: DEFAULT_TIMEOUT,
        expect,
        degraded,
    })
}
