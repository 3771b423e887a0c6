//! From outcomes to incidents to people.

pub mod decide;
