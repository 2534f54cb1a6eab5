//! `template.yaml` keeps its contract: rules with events, functions with packages and settings,
//! roles with what the adapters call, and nothing that fails is lost in silence.

mod functions;
mod parameters;
mod permissions;
mod rules;
mod safety_net;
