//! Diagrams of real texts, if they are available: the texts belong to others and are not stored here. And the cost of
//! reading.

#[cfg(test)]
mod growth;
#[cfg(test)]
mod real;
