# What `sonde check --format json` found, as GitHub shows it: `annotations` are workflow commands, `table` is Markdown.

def data: gsub("%"; "%25") | gsub("\r"; "%0D") | gsub("\n"; "%0A");
def property: data | gsub(":"; "%3A") | gsub(","; "%2C");

# Words of a target stay words, whatever they look like.
def cell: gsub("[\r\n]+"; " ") | gsub("(?<c>[&<>|`*_~\\[\\]\\\\])"; "&#\(.c | explode[0]);");

def why: [.reason, .message] | map(select(. != null and . != "")) | join(": ");
def took: if .total_us == null then "" else "\((.total_us / 100 | round) / 10) ms" end;
def sign: { ok: "✅ ok", degraded: "⚠️ degraded", failed: "❌ failed", missed: "❔ not run" }[.outcome] // .outcome;
def urgency: { failed: 0, missed: 1, degraded: 2 }[.outcome] // 3;

# More than a summary can hold would be none at all.
def most: 1000;

def annotation:
  (if .outcome == "degraded" then "warning" else "error" end) as $command
  | (if .outcome == "missed" then "could not be run" else .outcome end) as $what
  | "::\($command) title=\("\(.monitor) \($what)" | property)::\("\(.monitor) from \(.region) \($what): \(why)" | data)";

def annotations: .results | sort_by(urgency)[] | select(.outcome != "ok") | annotation;

def row: "| \(sign) | \(.monitor | cell) | \(.region | cell) | \(took) | \(why | cell) |";

def table:
  .summary as $sum
  | .results as $all
  | "### Sonde: \($sum.ok) ok, \($sum.degraded) degraded, \($sum.failed) failed, \($sum.missed) not run",
    "",
    "| | monitor | region | took | why |",
    "|---|---|---|---:|---|",
    ($all | sort_by(urgency)[:most][] | row),
    (($all | length) - most | select(. > 0) | "", "…and \(.) more.");
