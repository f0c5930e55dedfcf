//! Counts of tests, read from the closing lines of cargo-nextest and of `cargo test`.

use std::fmt;
use std::ops::AddAssign;

/// How many tests passed, failed and were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed, timed out or could not be started.
    pub failed: u64,
    /// Tests that were left out or ignored.
    pub skipped: u64,
}

impl Tally {
    /// Reads a runner's closing line; a line of any other kind counts nothing.
    pub fn from_line(line: &str) -> Self {
        // An indented `test result:` is what a test that failed has written, and counted already.
        let counts = if let Some(rest) = line.strip_prefix("test result:") {
            rest
        } else if line.trim_start().starts_with("Summary [") {
            line.split_once("run:").map_or("", |(_, counts)| counts)
        } else {
            ""
        };
        let mut tally = Self::default();
        let words: Vec<&str> = counts.split_whitespace().collect();
        for pair in words.windows(2) {
            let [number, word] = pair else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match word.trim_end_matches([',', ';']) {
                "passed" => tally.passed += number,
                // nextest says `1 timed out` and `1 exec failed`
                "failed" | "timed" | "exec" => tally.failed += number,
                "skipped" | "ignored" => tally.skipped += number,
                _ => {}
            }
        }
        tally
    }

    /// Number of tests that were run.
    pub fn run(&self) -> u64 {
        self.passed + self.failed
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    /// Writes the one form that every reader of CI's output understands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Tally {
        Tally { passed, failed, skipped }
    }

    #[test]
    fn reads_the_summary_of_nextest() {
        let line = "     Summary [   0.123s] 3 tests run: 3 passed, 2 skipped";
        assert_eq!(Tally::from_line(line), tally(3, 0, 2));
        let line = "     Summary [  9.1s] 14/20 tests run: 8 passed (2 slow, 1 flaky), 3 failed, 2 timed out, 1 exec failed, 0 skipped";
        assert_eq!(Tally::from_line(line), tally(8, 6, 0));
    }

    #[test]
    fn reads_the_result_of_cargo_test() {
        let line = "test result: FAILED. 5 passed; 1 failed; 2 ignored; 0 measured; 7 filtered out; finished in 0.00s";
        assert_eq!(Tally::from_line(line), tally(5, 1, 2));
    }

    #[test]
    fn ignores_what_a_test_prints() {
        assert_eq!(Tally::from_line("12 passed, 3 failed"), Tally::default());
        assert_eq!(Tally::from_line("a Summary [ 1s] 1 tests run: 1 passed"), Tally::default());
        let of_a_failed_one = "    test result: FAILED. 0 passed; 1 failed; 0 ignored; finished in 0.1s";
        assert_eq!(Tally::from_line(of_a_failed_one), Tally::default());
    }

    #[test]
    fn writes_the_plain_closing_line() {
        assert_eq!(tally(4, 1, 0).to_string(), "4 passed, 1 failed");
        assert_eq!(tally(4, 0, 2).to_string(), "4 passed, 0 failed, 2 skipped");
    }
}
