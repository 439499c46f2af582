//! Turns measurements into a table and a verdict.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::load::Measurement;

/// The name of the proxy with which all others are compared.
const FLOOR: &str = "floor";

/// One reading of results.
#[derive(clap::Args)]
pub(crate) struct ReportArguments {
    /// The lines of JSON that `load` printed, round after round, each proxy once a round
    #[arg(long)]
    results: PathBuf,
    /// The proxy that has to keep to the limit
    #[arg(long)]
    proxy: Option<String>,
    /// The most processor time that a call of the proxy may cost, as a multiple of the floor's
    #[arg(long, default_value_t = 1.6)]
    cpu_ratio_max: f64,
}

/// Why there is no table, or why the verdict is negative.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// The proxy exceeds its limit. The table is included.
    #[error("\n{table}\n{proxy} costs {ratio:.2} x the floor's processor time per call, more than {limit:.2}")]
    Costly { table: String, proxy: String, ratio: f64, limit: f64 },
    /// A line is not a measurement.
    #[error("line {line} of `{path}` is not a measurement: {source}")]
    Line { path: PathBuf, line: usize, source: serde_json::Error },
    /// Something was not measured, or not as often as the floor.
    #[error("`{name}` has {got} measurements and the floor has {floor}: they must be as many, and not none")]
    Missing { name: String, got: usize, floor: usize },
    /// The results could not be read.
    #[error("cannot read `{path}`: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// The floor used no processor time that the kernel could see.
    #[error("the floor used no measurable processor time: raise the number of calls")]
    Short,
}

/// The measurements of one proxy over all rounds.
struct Proxy {
    name: String,
    rounds: Vec<Measurement>,
    /// The processor time in multiples of the floor's, one value for each round.
    ratios: Vec<f64>,
}

impl Proxy {
    fn median(&self, figure: impl Fn(&Measurement) -> f64) -> f64 {
        median(self.rounds.iter().map(figure))
    }
}

/// Reads the results and returns the table, if the proxy keeps to its limit.
pub(crate) fn run(arguments: &ReportArguments) -> Result<String, ReportError> {
    let proxies = compare(read(arguments)?)?;
    let table = table(&proxies);
    let Some(name) = &arguments.proxy else {
        return Ok(table);
    };
    let ratio = proxies.iter().find(|proxy| &proxy.name == name).map(|proxy| median(proxy.ratios.iter().copied()));
    let limit = arguments.cpu_ratio_max;
    match ratio {
        Some(ratio) if ratio <= limit => Ok(format!(
            "{table}\n{name} costs {ratio:.2} x the floor's processor time per call; the limit is {limit:.2}"
        )),
        Some(ratio) => Err(ReportError::Costly { table, proxy: name.clone(), ratio, limit }),
        None => Err(ReportError::Missing {
            name: name.clone(),
            got: 0,
            floor: proxies.first().map_or(0, |floor| floor.rounds.len()),
        }),
    }
}

fn read(arguments: &ReportArguments) -> Result<Vec<Measurement>, ReportError> {
    let path = &arguments.results;
    let text = fs::read_to_string(path).map_err(|source| ReportError::Read { path: path.clone(), source })?;
    let measurement = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|source| ReportError::Line { path: path.clone(), line: index + 1, source })
    };
    text.lines().enumerate().map(measurement).collect()
}

/// Sorts measurements by proxy, the floor first, and compares each round with the floor's.
fn compare(measurements: Vec<Measurement>) -> Result<Vec<Proxy>, ReportError> {
    let mut proxies = vec![Proxy { name: FLOOR.to_owned(), rounds: Vec::new(), ratios: Vec::new() }];
    for measurement in measurements {
        match proxies.iter_mut().find(|proxy| proxy.name == measurement.name) {
            Some(proxy) => proxy.rounds.push(measurement),
            None => {
                proxies.push(Proxy { name: measurement.name.clone(), rounds: vec![measurement], ratios: Vec::new() })
            }
        }
    }
    let floor: Vec<f64> =
        proxies.iter().take(1).flat_map(|floor| &floor.rounds).map(|round| round.cpu_seconds_per_1000).collect();
    for proxy in &mut proxies {
        if proxy.rounds.len() != floor.len() || floor.is_empty() {
            return Err(ReportError::Missing { name: proxy.name.clone(), got: proxy.rounds.len(), floor: floor.len() });
        }
        proxy.ratios =
            proxy.rounds.iter().zip(&floor).map(|(round, floor)| round.cpu_seconds_per_1000 / floor).collect();
    }
    let measurable = proxies.iter().flat_map(|proxy| &proxy.ratios).all(|ratio| ratio.is_finite());
    if measurable { Ok(proxies) } else { Err(ReportError::Short) }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    if sorted.len().is_multiple_of(2) { f64::midpoint(at(middle.wrapping_sub(1)), at(middle)) } else { at(middle) }
}

fn table(proxies: &[Proxy]) -> String {
    let rounds = proxies.first().map_or(0, |floor| floor.rounds.len());
    let mut text = format!(
        "median of {rounds} rounds\n\n{:<10}{:>14}{:>10}{:>10}{:>12}{:>12}{:>12}{:>12}\n",
        "", "CPU-s/1,000", "p50", "p99", "peak RSS", "calls/s", "generator", "its core"
    );
    // Writing to a `String` cannot fail.
    for proxy in proxies {
        let _ = writeln!(
            text,
            "{:<10}{:>14.4}{:>7.0} µs{:>7.0} µs{:>8.1} MiB{:>12.0}{:>10.0} %{:>10.0} %",
            proxy.name,
            proxy.median(|round| round.cpu_seconds_per_1000),
            proxy.median(|round| round.p50_microseconds),
            proxy.median(|round| round.p99_microseconds),
            proxy.median(|round| round.peak_resident_kib as f64) / 1024.0,
            proxy.median(|round| round.calls_per_second),
            proxy.median(|round| round.generator_share) * 100.0,
            proxy.median(|round| round.core_busy_share) * 100.0,
        );
    }
    let Some((floor, others)) = proxies.split_first() else {
        return text;
    };
    let _ = writeln!(text, "\nx floor   {:>14}{:>10}{:>10}{:>12}   CPU of the rounds", "CPU", "p50", "p99", "peak RSS");
    for proxy in others {
        let ratio = |figure: fn(&Measurement) -> f64| proxy.median(figure) / floor.median(figure);
        let rounds: Vec<String> = proxy.ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let _ = writeln!(
            text,
            "{:<10}{:>14.2}{:>10.2}{:>10.2}{:>12.2}   {}",
            proxy.name,
            median(proxy.ratios.iter().copied()),
            ratio(|round| round.p50_microseconds),
            ratio(|round| round.p99_microseconds),
            ratio(|round| round.peak_resident_kib as f64),
            rounds.join(" "),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, cpu_seconds_per_1000: f64) -> Measurement {
        Measurement {
            name: name.to_owned(),
            calls_per_second: 4_000.0,
            cpu_seconds_per_1000,
            p50_microseconds: 100.0,
            p99_microseconds: 300.0,
            peak_resident_kib: 2_048,
            generator_share: 0.2,
            core_busy_share: 0.4,
        }
    }

    fn verdict(name: &str, measurements: &[Measurement]) -> Result<String, ReportError> {
        let results = std::env::temp_dir().join(format!("sekisho-bench-{}-{name}", std::process::id()));
        let lines: Vec<_> =
            measurements.iter().map(|measurement| serde_json::to_string(measurement).unwrap()).collect();
        fs::write(&results, lines.join("\n")).unwrap();
        let outcome =
            run(&ReportArguments { results: results.clone(), proxy: Some("sekisho".to_owned()), cpu_ratio_max: 1.6 });
        fs::remove_file(results).unwrap();
        outcome
    }

    #[test]
    fn the_verdict_is_the_median_of_the_rounds_each_against_its_own_floor() {
        // The machine doubled its speed between the rounds; the third was disturbed.
        let rounds = |sekisho: [f64; 3]| {
            let floor = [0.08, 0.04, 0.04];
            floor
                .iter()
                .zip(sekisho)
                .flat_map(|(floor, sekisho)| [measured("sekisho", sekisho), measured("floor", *floor)])
                .collect::<Vec<_>>()
        };
        let table = verdict("kept", &rounds([0.12, 0.06, 0.40])).unwrap();
        assert!(table.contains("1.50 x the floor's"), "{table}");
        let costly = verdict("costly", &rounds([0.14, 0.07, 0.04]));
        assert!(matches!(costly, Err(ReportError::Costly { ratio, .. }) if (ratio - 1.75).abs() < 1e-9));
    }

    #[test]
    fn a_proxy_that_was_not_measured_as_often_as_the_floor_is_no_result() {
        let floor = measured("floor", 0.04);
        let cases = [vec![], vec![floor.clone()], vec![floor.clone(), floor, measured("sekisho", 0.05)]];
        for (index, measurements) in cases.iter().enumerate() {
            let outcome = verdict(&format!("missing-{index}"), measurements);
            assert!(matches!(outcome, Err(ReportError::Missing { .. })), "{index}");
        }
    }

    #[test]
    fn a_floor_without_measurable_time_is_no_floor() {
        let outcome = verdict("short", &[measured("floor", 0.0), measured("sekisho", 0.05)]);
        assert!(matches!(outcome, Err(ReportError::Short)));
    }

    #[test]
    fn the_median_of_two_lies_between_them() {
        assert!((median([3.0, 1.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!((median([5.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
    }
}
