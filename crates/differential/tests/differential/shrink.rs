//! Making scenarios smaller keeps what they show.

use dynvm_compare::rules::Rules;
use dynvm_differential::generate::Generator;
use dynvm_differential::lockstep::run;
use dynvm_differential::scenario::{Event, Scenario, Step};
use dynvm_differential::shrink::{Limits, shrink};

use crate::plugins::{logs_from, pair};

fn size(scenario: &Scenario) -> usize {
    serde_json::to_string(scenario).unwrap().len()
}

/// Values of headers of whole requests.
fn values(scenario: &Scenario) -> impl Iterator<Item = &[u8]> {
    let requests =
        scenario.steps.iter().filter_map(|step| if let Step::Request(request) = step { Some(request) } else { None });
    requests.flat_map(|request| request.headers.0.iter().map(|(_, value)| &**value))
}

type Property = (&'static str, fn(&Scenario) -> bool);

/// What a divergence could depend on: bytes, sizes, orders, repeats, streams side by side.
const PROPERTIES: [Property; 5] = [
    ("a byte in a value of odd length", |scenario| {
        values(scenario).any(|value| value.len() % 2 == 1 && value.contains(&0xff))
    }),
    ("a long value", |scenario| values(scenario).any(|value| value.len() >= 100)),
    ("a tick after a request", |scenario| {
        let request = scenario.steps.iter().position(|step| matches!(step, Step::Request(_)));
        request
            .is_some_and(|at| scenario.steps[at..].iter().any(|step| matches!(step, Step::Tick(time) if *time >= 100)))
    }),
    ("an empty chunk", |scenario| {
        let chunks = scenario
            .steps
            .iter()
            .filter_map(|step| if let Step::Request(request) = step { Some(request.body.chunks()) } else { None });
        chunks.flatten().any(|chunk| chunk.is_empty())
    }),
    ("three streams open at once", |scenario| {
        scenario.steps.iter().any(|step| {
            let Step::Interleaved(events) = step else { return false };
            let mut open: usize = 0;
            events.iter().any(|event| {
                match event {
                    Event::Open { .. } => open += 1,
                    Event::Close { .. } => open = open.saturating_sub(1),
                    _ => {}
                }
                open >= 3
            })
        })
    }),
];

#[test]
fn what_shows_a_property_still_shows_it_and_nothing_can_be_left_out() {
    let mut checked = [0; PROPERTIES.len()];
    for number in 0..60 {
        let scenario = Generator::new(&Scenario::standard(), b"", 11).scenario(number, 60);
        for (index, (name, shows)) in PROPERTIES.iter().enumerate() {
            if !shows(&scenario) {
                continue;
            }
            checked[index] += 1;
            let shrunk = shrink(scenario.clone(), Limits::default(), shows);
            assert!(shrunk.complete && shows(&shrunk.scenario), "{name}, of {number}");
            assert!(size(&shrunk.scenario) <= size(&scenario), "{name}, of {number}");
            for step in 0..shrunk.scenario.steps.len() {
                let mut fewer = shrunk.scenario.clone();
                fewer.steps.remove(step);
                assert!(!shows(&fewer), "{name}, of {number}: step {step} is left for nothing");
            }
        }
    }
    assert!(checked.iter().all(|count| *count >= 5), "each property is seen some times: {checked:?}");
}

#[test]
fn the_least_scenario_is_found() {
    let scenario = (0..).map(|number| Generator::new(&Scenario::standard(), b"", 3).scenario(number, 60));
    let (_, shows) = PROPERTIES[0];
    let scenario = { scenario }.find(shows).unwrap();
    let shrunk = shrink(scenario, Limits::default(), shows);
    let written = serde_json::to_value(&shrunk.scenario.steps).unwrap();
    assert_eq!(written, serde_json::json!([{"request": {"headers": [["", {"base64": "/w=="}]]}}]));
}

#[test]
fn a_divergence_of_two_builds_survives() {
    // Nine headers with the four that each request has.
    let pair = pair(&logs_from(9), &logs_from(100));
    let diverges = |scenario: &Scenario| run(&pair, scenario, Rules::default()).unwrap().divergence.is_some();
    for seed in 0..5 {
        let scenarios = (0..).map(|number| Generator::new(&Scenario::standard(), b"", seed).scenario(number, 30));
        let scenario = { scenarios }.find(|scenario| diverges(scenario)).unwrap();
        let shrunk = shrink(scenario, Limits::default(), diverges);
        assert!(diverges(&shrunk.scenario), "seed {seed}");
        let text = serde_json::to_string(&shrunk.scenario).unwrap();
        assert!(diverges(&Scenario::parse(&text).unwrap()), "as written and read: {text}");
        assert_eq!(shrunk.scenario.steps.len(), 1, "{text}");
        let Step::Request(request) = &shrunk.scenario.steps[0] else { continue };
        assert_eq!(request.headers.0.len(), 5, "{text}");
    }
}

#[test]
fn limits_are_kept() {
    let scenario = Generator::new(&Scenario::standard(), b"", 1).scenario(0, 100);
    let shrunk = shrink(scenario, Limits { runs: 10, ..Limits::default() }, |scenario| scenario.steps.len() >= 20);
    assert_eq!((shrunk.runs, shrunk.complete), (10, false));
}
