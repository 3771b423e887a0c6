//! What an operator copies from `infra/` and `fly/` is valid and points at files that exist.

use std::path::{Path, PathBuf};

use sonde_tests::promtool;
use toml::Table;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[tokio::test]
async fn the_prometheus_example_is_valid() {
    promtool::check_config(&root().join("infra/prometheus/prometheus.yml")).await;
}

#[tokio::test]
async fn promtool_accepts_good_metrics() {
    promtool::check_metrics("# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n").await;
}

#[test]
fn the_fly_application_builds_a_stage_of_the_image() {
    let fly = std::fs::read_to_string(root().join("fly/up.toml")).unwrap();
    let fly: Table = fly.parse().unwrap();
    let build = fly["build"].as_table().unwrap();
    // Relative to the file, as flyctl takes it.
    let image = root()
        .join("fly")
        .join(build["dockerfile"].as_str().unwrap());
    let image = std::fs::read_to_string(image).unwrap();
    let stage = format!(" AS {}\n", build["build-target"].as_str().unwrap());
    assert!(image.contains(&stage));
}
