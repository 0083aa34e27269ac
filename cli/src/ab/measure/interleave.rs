//! Interleaved runs of several subjects, in blocks.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

/// Duration and number of blocks.
pub struct Turns<'a> {
    pub time: Duration,
    pub blocks: u32,
    pub bar: &'a ProgressBar,
}

/// Minimum number of blocks for a confidence interval.
const FEWEST_BLOCKS: u32 = 6;

impl Turns<'_> {
    /// Runs each of `subjects` subjects in turn until the time is over, and reports the end of each
    /// block. The first one in a turn finds colder caches, so the order rotates. Slow subjects get
    /// up to three times the time if there would be too few blocks otherwise.
    ///
    /// Returns the number of turns of each subject.
    pub fn take(
        &self,
        subjects: usize,
        turn: &mut dyn FnMut(usize) -> anyhow::Result<()>,
        end_block: &mut dyn FnMut(),
    ) -> anyhow::Result<u64> {
        let position = self.bar.position();
        let start = Instant::now();
        let mut rounds: u64 = 0;
        for block in 1.. {
            loop {
                for index in 0..subjects {
                    turn((index + rounds as usize) % subjects)?;
                }
                rounds += 1;
                if start.elapsed() >= self.time * block / self.blocks {
                    break;
                }
            }
            end_block();
            let elapsed = start.elapsed();
            self.bar.set_position(position + elapsed.min(self.time).as_millis() as u64);
            if elapsed >= self.time && (block >= FEWEST_BLOCKS || elapsed >= self.time * 3) {
                break;
            }
        }
        Ok(rounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_as_many_turns_and_rotate() {
        let bar = ProgressBar::hidden();
        let turns = Turns { time: Duration::from_millis(20), blocks: 4, bar: &bar };
        let (mut taken, mut first, mut blocks) = ([0u64; 3], [0u64; 3], 0);
        let mut calls = 0;
        let mut turn = |index: usize| {
            first[index] += u64::from(calls % 3 == 0);
            taken[index] += 1;
            calls += 1;
            Ok(())
        };
        let rounds = turns.take(3, &mut turn, &mut || blocks += 1).unwrap();
        assert_eq!(taken, [rounds; 3]);
        assert!(first.iter().all(|first| first.abs_diff(rounds / 3) <= 1), "{first:?} of {rounds}");
        assert!(blocks >= 4);
    }

    #[test]
    fn without_time_there_are_blocks_all_the_same() {
        let bar = ProgressBar::hidden();
        let turns = Turns { time: Duration::ZERO, blocks: 40, bar: &bar };
        let mut blocks = 0;
        assert!(turns.take(2, &mut |_| Ok(()), &mut || blocks += 1).unwrap() >= 1);
        assert!(blocks >= 1);
    }
}
