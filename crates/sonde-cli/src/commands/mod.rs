//! One module per command: its options, and what it does with them.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod example_service;
pub(crate) mod export;
pub(crate) mod fleet;
pub(crate) mod heartbeat;
pub(crate) mod import;
pub(crate) mod incidents;
pub(crate) mod ledger;
pub(crate) mod mcp;
pub(crate) mod migrate;
pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod queues;
pub(crate) mod run;
pub(crate) mod up;
