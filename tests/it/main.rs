//! Tests across crates, and of the repository itself.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows test functions, but not that their helpers may panic too"
)]

mod alert_steps;
mod amqp;
mod amqp_failures;
mod api_monitors;
mod api_oidc;
mod api_refusals;
mod cli;
mod cli_apply;
mod cli_fleet;
mod cli_incidents;
mod cli_mcp;
mod cli_run;
mod clickhouse;
mod clickhouse_failures;
mod clickhouse_rollups;
mod fleet_alerts;
mod fleet_api;
mod fleet_broker;
mod fleet_messages;
mod fleet_processes;
mod fleet_proof;
mod fleet_stores;
mod infra;
mod infra_action;
mod links;
mod probe_bodies;
mod probe_certificates;
mod probe_dns;
mod probe_domain;
mod probe_egress;
mod probe_failures;
mod probe_local;
mod probe_memory;
mod probe_names;
mod probe_phases;
mod probe_proxy;
mod probe_redirects;
mod probe_requests;
mod probe_retries;
mod probe_tcp;
mod screenshots;
mod screenshots_sonde;
mod services;
mod store;
mod store_failures;
mod store_harness;
mod store_tls;
mod stubs;
mod tidy;
mod up_alerts;
mod up_arrivals;
mod up_channels;
mod up_dashboards;
mod up_expiry;
mod up_forms;
mod up_heartbeats;
mod up_incidents;
mod up_mail;
mod up_maintenance;
mod up_pages;
mod up_reports;
mod up_settings;
mod up_surface;
mod up_survival;
mod up_views;
mod web_browser;
mod web_charts;
mod web_forms;
mod web_pages;
mod web_scene;
