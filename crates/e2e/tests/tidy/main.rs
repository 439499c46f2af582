//! The order of the house, checked: floors, circles of files, lengths, and that documents speak of tests that exist.

#[cfg(test)]
mod blocking;
#[cfg(test)]
mod circles;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod floors;
#[cfg(test)]
mod lengths;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod strangers;
