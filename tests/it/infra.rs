//! What an operator copies from `infra/` and `fly/` is valid and points at files that exist.

use std::path::{Path, PathBuf};

use sonde_tests::promtool;
use sonde_tests::sonde::Sonde;
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

#[tokio::test]
async fn every_fly_application_builds_a_stage_of_the_image_and_starts_a_command_that_exists() {
    for entry in std::fs::read_dir(root().join("fly")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let fly: Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let build = fly["build"].as_table().unwrap();
        // Relative to the file, as flyctl takes it.
        let image = root()
            .join("fly")
            .join(build["dockerfile"].as_str().unwrap());
        let image = std::fs::read_to_string(image).unwrap();
        let stage = format!(" AS {}\n", build["build-target"].as_str().unwrap());
        assert!(image.contains(&stage), "{}", path.display());
        let command = fly["processes"]["app"].as_str().unwrap();
        let arguments = command.split_whitespace().chain(["--help"]);
        let output = Sonde::new(arguments).run().await;
        assert_eq!(output.code, Some(0), "{command}: {}", output.stderr);
    }
}
