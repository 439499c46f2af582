//! Checks the structure of the project: floors, circles of files, lengths, and that documents name tests that exist.

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
