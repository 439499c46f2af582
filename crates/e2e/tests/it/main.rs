//! The real binary from outside: the demo's story, clients and suites of others, the pages, attacks, crashes.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod builtin;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod company;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod diagrams;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod external;
#[cfg(test)]
mod guards;
#[cfg(test)]
mod history;
#[cfg(test)]
mod linked;
#[cfg(test)]
mod observed;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod picture;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod rmcp_client;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod sets;
#[cfg(test)]
mod signing_in;
#[cfg(test)]
mod story;
