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
        let start = Instant::now();
        self.take_by(subjects, turn, end_block, &|| start.elapsed())
    }

    /// The same by this clock, which starts at zero.
    fn take_by(
        &self,
        subjects: usize,
        turn: &mut dyn FnMut(usize) -> anyhow::Result<()>,
        end_block: &mut dyn FnMut(),
        elapsed: &dyn Fn() -> Duration,
    ) -> anyhow::Result<u64> {
        let position = self.bar.position();
        let mut rounds: u64 = 0;
        for block in 1.. {
            loop {
                for index in 0..subjects {
                    turn((index + rounds as usize) % subjects)?;
                }
                rounds += 1;
                if elapsed() >= self.time * block / self.blocks {
                    break;
                }
            }
            end_block();
            let elapsed = elapsed();
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
    use std::cell::Cell;

    use super::*;

    /// The subjects in the order of their turns, the number of rounds, and that of blocks, if a turn takes `turn`.
    fn take(subjects: usize, time: Duration, blocks: u32, turn: Duration) -> (Vec<usize>, u64, u32) {
        let bar = ProgressBar::hidden();
        let (now, mut order, mut ended) = (Cell::new(Duration::ZERO), Vec::new(), 0);
        let mut take_turn = |subject| {
            now.set(now.get() + turn);
            order.push(subject);
            Ok(())
        };
        let turns = Turns { time, blocks, bar: &bar };
        let rounds = turns.take_by(subjects, &mut take_turn, &mut || ended += 1, &|| now.get()).unwrap();
        (order, rounds, ended)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn all_have_as_many_turns_and_rotate() {
        let (order, rounds, blocks) = take(3, SECOND * 72, 8, SECOND);
        assert_eq!((rounds, blocks), (24, 8));
        assert_eq!(order[..9], [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert_eq!(order.len(), 72);
    }

    /// Turns longer than a block: there are six blocks all the same, or three times the time.
    #[test]
    fn slow_subjects_get_more_time() {
        assert_eq!(take(2, SECOND * 4, 40, SECOND).2, 6);
        assert_eq!(take(2, SECOND * 4, 40, SECOND * 6).2, 1);
    }

    #[test]
    fn without_time_there_is_a_block_all_the_same() {
        let (_, rounds, blocks) = take(2, Duration::ZERO, 40, SECOND);
        assert_eq!((rounds, blocks), (1, 1));
    }
}
