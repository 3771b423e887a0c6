//! Rules about the repository that clippy cannot express.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The layers, lowest first: a crate depends only on crates of the rows above its own, never on one beside it.
const LAYERS: [&[&str]; 6] = [
    &["sonde-core", "sonde-libsql", "sonde-seal"],
    &["sonde-notify"],
    &[
        "sonde-probe",
        "sonde-config",
        "sonde-queue",
        "sonde-store",
        "sonde-results",
    ],
    &["sonde-service"],
    &[
        "sonde-dispatcher",
        "sonde-checker",
        "sonde-ingester",
        "sonde-alert",
        "sonde-screenshot",
        "sonde-api",
        "sonde-web",
    ],
    &["sonde-cli"],
];

/// Dependencies that stay behind one crate's interface, so that replacing one is a change in one place.
const OWNED: [(&str, &[&str]); 10] = [
    ("backoff", &["sonde-probe"]),
    ("chacha20poly1305", &["sonde-seal"]),
    ("clickhouse", &["sonde-results"]),
    ("hickory-resolver", &["sonde-probe"]),
    ("lapin", &["sonde-queue"]),
    ("lettre", &["sonde-alert"]),
    ("libsql", &["sonde-libsql"]),
    ("object_store", &["sonde-store"]),
    ("openidconnect", &["sonde-service"]),
    ("surge-ping", &["sonde-probe"]),
];

const LONGEST_FILE: usize = 600;

#[test]
fn crates_depend_on_lower_layers_only() {
    for (name, manifest) in crates() {
        let layer = layer(&name).unwrap_or_else(|| panic!("`{name}` is in no layer"));
        for dependency in dependencies(&manifest) {
            if dependency.starts_with("sonde-") {
                let below = self::layer(&dependency).is_some_and(|other| other < layer);
                // A crate may ask itself for a feature in its own tests.
                assert!(
                    below || dependency == name,
                    "`{name}` may not depend on `{dependency}`"
                );
            }
        }
    }
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

#[test]
fn dependencies_with_an_owner_stay_there() {
    for (name, manifest) in crates() {
        let dependencies = dependencies(&manifest);
        for (owned, owners) in OWNED {
            assert!(
                owners.contains(&name.as_str()) || !dependencies.iter().any(|it| it == owned),
                "`{owned}` belongs to {owners:?}, not to `{name}`"
            );
        }
    }
}

#[test]
fn crates_are_named_after_their_folder_and_take_the_lints() {
    for (name, manifest) in crates() {
        assert_eq!(manifest["package"]["name"].as_str(), Some(name.as_str()));
        let lints = manifest.get("lints").and_then(|it| it.get("workspace"));
        assert_eq!(
            lints.and_then(Value::as_bool),
            Some(true),
            "`{name}` lacks `[lints] workspace = true`"
        );
    }
}

#[test]
fn the_map_names_every_crate_and_nothing_else() {
    let map = read("crates/README.md");
    let mut known = crates();
    for name in known.keys() {
        assert!(map.contains(name), "crates/README.md lacks `{name}`");
    }
    known.insert("sonde-tests".to_owned(), Table::new());
    for word in map.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_') {
        assert!(
            !word.starts_with("sonde-") || known.contains_key(word),
            "crates/README.md names `{word}`, which does not exist"
        );
    }
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    let readme = read("README.md");
    for command in ["cargo run --release -- up", "tests/run"] {
        assert!(readme.contains(command), "README.md lacks `{command}`");
    }
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    assert_eq!(rust_files(|text| !text.starts_with("//! ")), no_files());
}

#[test]
fn no_rust_file_is_too_long() {
    let too_long = |text: &str| text.lines().count() > LONGEST_FILE;
    assert_eq!(rust_files(too_long), no_files());
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[track_caller]
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The manifests under `crates/`, by folder.
fn crates() -> BTreeMap<String, Table> {
    let folders = fs::read_dir(root().join("crates")).unwrap();
    folders
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let manifest = read(&format!("crates/{name}/Cargo.toml"));
            (name, manifest.parse().unwrap())
        })
        .collect()
}

/// Those of every section: build and development dependencies, and those of single platforms.
fn dependencies(manifest: &Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else {
            continue;
        };
        if key.ends_with("dependencies") {
            names.extend(table.keys().cloned());
        } else if key == "target" {
            let platforms = table.values().filter_map(Value::as_table);
            names.extend(platforms.flat_map(dependencies));
        }
    }
    names
}

/// The Rust files of the workspace that `wrong` holds for.
fn rust_files(wrong: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && wrong(&fs::read_to_string(&path).unwrap())
            {
                files.push(path);
            }
        }
    }
    files
}

const fn no_files() -> Vec<PathBuf> {
    Vec::new()
}
