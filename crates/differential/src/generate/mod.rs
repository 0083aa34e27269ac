//! Generates traffic from a seed and a dictionary.

mod dictionary;
mod harvest;
mod random;
mod streams;
mod values;

pub use dictionary::Vocabulary;
pub use harvest::words;
pub use random::Random;

use crate::scenario::{Bytes, Scenario, fields};

/// Generates scenarios, each from the seed and its number, with the configuration of a base scenario.
#[derive(Clone, Debug)]
pub struct Generator {
    base: Scenario,
    words: Vocabulary,
    seed: u64,
}

impl Generator {
    /// Takes configuration and words from a scenario, and more words from the plugin's wasm module
    /// (its bytes, or empty).
    pub fn new(base: &Scenario, module: &[u8], seed: u64) -> Generator {
        let mut words = Vocabulary::of(base, module);
        // Without any known traffic, generate requests like the standard scenario's.
        words.requests |= !words.connections;
        Generator { base: Scenario { steps: Vec::new(), ..base.clone() }, words, seed }
    }

    /// A scenario with up to `streams` streams, determined by the seed and the number.
    pub fn scenario(&self, number: u64, streams: u64) -> Scenario {
        let mut random = Random::derive(self.seed, number);
        let mut scenario = self.base.clone();
        scenario.random_seed = Some(random.number() >> 16);
        self.answers(&mut random, &mut scenario, streams);
        // Some SDKs abort the VM on invalid UTF-8, so most runs avoid it to reach other code.
        let is_text = random.percent(85);
        let mut opened = 0;
        while opened < streams {
            let mut step = self.words.step(&mut random, (streams - opened) as usize);
            if is_text {
                fields::strings(&mut step).into_iter().for_each(make_text);
            }
            opened += step.streams();
            scenario.steps.push(step);
        }
        scenario
    }

    /// Answers to the plugin's calls: those of the base scenario in some runs, generated ones in most.
    fn answers(&self, random: &mut Random, scenario: &mut Scenario, streams: u64) {
        if self.words.upstreams.is_empty() || random.percent(10) {
            return;
        }
        let known = std::mem::take(&mut scenario.http_calls);
        for upstream in &self.words.upstreams {
            if random.percent(5) {
                // An unknown upstream: the call fails immediately.
                continue;
            }
            let of_upstream: Vec<_> = known.iter().filter(|call| call.upstream == *upstream).collect();
            for _ in 0..streams.clamp(1, 64) {
                let answer = match random.pick(&of_upstream) {
                    Some(call) if random.percent(50) => (*call).clone(),
                    _ => self.words.answer(random, upstream),
                };
                scenario.http_calls.push(answer);
            }
        }
    }
}

fn make_text(bytes: &mut Bytes) {
    if std::str::from_utf8(bytes).is_err() {
        *bytes = Bytes::from(String::from_utf8_lossy(bytes).into_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Event, Step};

    fn base() -> Scenario {
        Scenario::parse(
            r#"{"plugin": {"configuration": {"upstream": "authz", "header": "x-known"}},
                "http_calls": [{"upstream": "authz"}],
                "steps": [{"request": {"path": "/known", "headers": {"x-user": "alice"}, "body": "{\"a\": 1}"}},
                          {"connection": {"downstream": ["PING"]}}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_traffic() {
        let make = |seed, number| Generator::new(&base(), b"", seed).scenario(number, 50);
        assert_eq!(make(7, 3), make(7, 3));
        assert_ne!(make(7, 3), make(7, 4));
        assert_ne!(make(7, 3), make(8, 3));
        assert_eq!(make(7, 3).steps.iter().map(Step::streams).sum::<u64>(), 50);
    }

    #[test]
    fn traffic_of_a_seed_stays_what_it_is() {
        // Published seeds must keep their meaning: a change here is a change of the format.
        let text = serde_json::to_string(&Generator::new(&base(), b"", 1).scenario(0, 200)).unwrap();
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        assert_eq!(format!("{hash:016x}"), "3a3c689f26e44274");
    }

    #[test]
    fn what_is_generated_can_be_written_and_read() {
        let generated = Generator::new(&base(), b"", 1).scenario(0, 100);
        let text = serde_json::to_string(&generated).unwrap();
        assert_eq!(Scenario::parse(&text).unwrap(), generated);
    }

    #[test]
    fn the_traffic_has_all_that_it_should() {
        let generator = Generator::new(&base(), b"", 0);
        let steps: Vec<Step> = (0..40).flat_map(|number| generator.scenario(number, 100).steps).collect();
        let requests =
            || steps.iter().filter_map(|step| if let Step::Request(request) = step { Some(request) } else { None });
        let events =
            || steps.iter().filter_map(|step| if let Step::Interleaved(events) = step { Some(events) } else { None });
        let values = || requests().flat_map(|request| request.headers.0.iter().map(|(_, value)| value));
        let named = |name: &str| {
            requests().any(|request| request.headers.0.iter().any(|(known, _)| **known == *name.as_bytes()))
        };
        let known = Some(Bytes::from("/known"));
        assert!(requests().any(|request| request.path == known) && named("x-user") && named("x-known"));
        assert!(values().any(|value| value.is_empty()) && values().any(|value| value.len() > 1000));
        assert!(values().any(|value| value.contains(&0xff)));
        assert!(
            requests().any(|request| request.headers.0.iter().filter(|(name, _)| **name == *b"x-user").count() > 1)
        );
        assert!(
            requests()
                .any(|request| request.body.chunks().len() > 2 && request.body.chunks().iter().any(Vec::is_empty))
        );
        assert!(requests().any(|request| !request.trailers.is_empty()));
        assert!(steps.iter().any(|step| matches!(step, Step::Tick(3_600_000))));
        assert!(steps.iter().any(|step| matches!(step, Step::Connection(_))));
        let is_open = |event: &Event| matches!(event, Event::Open { .. });
        assert!(events().any(|events| events.iter().filter(|event| is_open(event)).count() == 5));
        assert!(events().any(|events| events.iter().any(|event| matches!(event, Event::Tick(_)))));
        let answers: Vec<_> = (0..40).flat_map(|number| generator.scenario(number, 100).http_calls).collect();
        assert!(answers.iter().any(|answer| answer.fail) && answers.iter().any(|answer| answer.delay_ms == 60_000));
    }
}
