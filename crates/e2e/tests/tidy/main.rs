//! The order of the house, checked: floors, lengths, and that documents speak of tests that exist.

mod claims;
mod floors;
mod lengths;
mod sources;
