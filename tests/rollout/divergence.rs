//! The aspects that are compared, and the report of a divergence.

use std::collections::BTreeSet;

use dynvm::abi::table::CallbackId;
use dynvm::host::{Headers, HttpCallResponse};
use dynvm::observe::Observer;
use dynvm_compare::rules::Rule;
use dynvm_rollout::rollout::{Arm, Aspect, RolloutConfig};

use crate::{BOTH, Two, headers};
use harness::TestStream;

const HEADER: &str = "on_request_headers|proxy_add_header_map_value 0 x-plugin one\n";

#[needs::wasm_clang]
#[test]
fn two_that_do_the_same_are_the_same() {
    let script = format!(
        "{HEADER}on_request_headers|proxy_get_current_time_nanoseconds\non_request_headers|proxy_get_header_map_pairs 0\n\
         on_request_body|proxy_set_buffer_bytes 0 0 0 front\non_request_body|proxy_get_buffer_bytes 0 0 100\n\
         on_request_body|proxy_send_local_response 403 why no empty -1\non_log|proxy_log 2 end\n"
    );
    for arms in BOTH {
        let mut two = Two::new(arms, [&script, &script]);
        two.request();
        two.request();
        let seen = two.seen();
        assert_eq!(seen.first, []);
        assert_eq!((seen.shadow.same, seen.shadow.diverged), (2, 0));
    }
}

#[needs::wasm_clang]
#[test]
fn a_difference_is_found_in_its_aspect_and_the_answer_is_the_stable_ones() {
    let cases = [
        ("on_request_headers|proxy_add_header_map_value 0 x-plugin two", Aspect::Headers),
        ("on_request_headers|return 1", Aspect::Action),
        ("on_request_body|proxy_set_buffer_bytes 0 0 4 other", Aspect::Body),
        ("on_request_headers|proxy_send_local_response 403 why no empty -1", Aspect::LocalReply),
        ("on_request_headers|proxy_continue_stream 0", Aspect::Control),
        ("on_request_headers|proxy_set_shared_data key value 0", Aspect::State),
        ("on_request_headers|proxy_log 2 other", Aspect::Log),
    ];
    for (line, aspect) in cases {
        for arms in BOTH {
            let mut two = Two::new(arms, ["", line]);
            assert_eq!(two.request(), [""; 0], "the shadow asks nothing of the stream");
            // The probe logs its actions, so the log differs too.
            let aspects = two.aspects();
            assert!(
                aspects.contains(&aspect) && aspects.iter().all(|a| *a == aspect || *a == Aspect::Log),
                "{line}: {aspects:?}"
            );
            assert_eq!(two.seen().shadow.diverged, 1);
        }
    }
}

#[needs::wasm_clang]
#[test]
fn the_first_divergences_have_details() {
    for arms in BOTH {
        let mut config = RolloutConfig::default();
        config.kept_divergences = 2;
        let other = "on_request_headers|proxy_add_header_map_value 0 x-plugin two\n";
        let mut two = Two::with(arms, [HEADER, other], config);
        let stream = two.stream(TestStream::with_headers([(":path", "/")]));
        two.worker.call(stream, |vm, id| vm.on_request_headers(id, 1, true));
        assert_eq!(headers(&mut two.worker, stream), Headers::from([(":path", "/"), ("x-plugin", "one")]));
        two.worker.end(stream);
        two.request();
        two.request();
        let seen = two.seen();
        assert_eq!(seen.first.len(), 2, "{:?}", seen.first);
        assert_eq!(
            seen.divergences.iter().map(|d| (d.callback, d.aspect, d.count)).collect::<Vec<_>>(),
            [(CallbackId::proxy_on_request_headers, Aspect::Headers, 3)]
        );
        let first = &seen.first[0];
        assert_eq!((first.stream, first.step, first.answering.0, first.shadow.0), (0, 1, Arm::Stable, Arm::Candidate));
        assert_eq!(first.what, "HttpRequestHeaders x-plugin");
        assert_eq!((first.answered.as_str(), first.shadowed.as_str()), ("one", "two"));
    }
}

#[test]
fn rules_allow_in_a_shadow_what_they_allow_in_dynvm_ab() {
    let took = |time: &str| format!("on_log|proxy_log 2 took-{time}\n");
    for arms in BOTH {
        let mut strict = Two::new(arms, [&took("3us"), &took("5us")]);
        strict.request();
        let seen = strict.seen();
        assert_eq!((seen.shadow.same, seen.shadow.diverged), (0, 1), "by default the text counts");
        assert_eq!((seen.first[0].aspect, seen.first[0].what.as_str()), (Aspect::Log, "proxy_log, message"));
        assert!(seen.first[0].answered.contains("3us") && seen.first[0].shadowed.contains("5us"), "{:?}", seen.first);

        let mut config = RolloutConfig::default();
        config.rules = config.rules.allow(Rule::LogText);
        let mut allowed = Two::with(arms, [&took("3us"), &took("5us")], config.clone());
        allowed.request();
        let seen = allowed.seen();
        assert_eq!((seen.shadow.same, seen.shadow.diverged), (1, 0), "{:?}", seen.first);
        let rules: Vec<_> = seen.rules.iter().map(|applied| (applied.rule, applied.count)).collect();
        assert_eq!(rules, [("log-text", 1)], "what was passed over is counted");

        let mut more = Two::with(arms, [&took("3us"), &format!("{}{}", took("5us"), took("5us"))], config);
        more.request();
        assert_eq!(more.aspects(), [Aspect::Log], "one more message is no other text");
    }
}

#[needs::wasm_clang]
#[test]
fn answers_to_calls_reach_the_shadow_of_the_call_that_matches() {
    let call = |upstream: &str| {
        format!(
            "on_request_headers|proxy_http_call {upstream} empty body empty 1000\non_request_headers|return 1\n\
             on_http_call_response|proxy_get_buffer_bytes 4 0 100\non_http_call_response|proxy_get_header_map_value 6 :status\n"
        )
    };
    for arms in BOTH {
        for (candidate, same) in [(call("authz"), true), (call("elsewhere"), false)] {
            let mut two = Two::new(arms, [&call("authz"), &candidate]);
            let stream = two.stream(TestStream::with_headers([(":path", "/")]));
            two.worker.call(stream, |vm, id| vm.on_request_headers(id, 1, true));
            let made = two.world.calls.http.take();
            assert_eq!(made.len(), 1, "the shadow's call is not made");
            let response = HttpCallResponse {
                headers: Headers::from([(":status", "200")]),
                body: b"yes".to_vec(),
                ..HttpCallResponse::default()
            };
            two.worker.on_http_call_response(stream.arm(), stream.version(), made[0].id, response).unwrap();
            two.worker.end(stream);
            let seen = two.seen();
            assert_eq!(seen.shadow.same == 1, same, "{:?}", seen.first);
            if !same {
                let calls = seen.first.iter().find(|divergence| divergence.aspect == Aspect::Calls).unwrap();
                assert!(calls.answered.contains("authz") && calls.shadowed.contains("elsewhere"), "{calls:?}");
            }
        }
    }
}

#[needs::wasm_clang]
#[test]
fn prometheus_has_the_numbers() {
    let observer = Observer::new();
    let mut config = RolloutConfig::default();
    config.observer = Some(observer.clone());
    let mut two = Two::with(BOTH[0], ["", "on_request_headers|return 1"], config);
    two.request();
    let number = two.seen().number.to_string();
    let page = observer.prometheus();
    for line in [
        r#"dynvm_rollout_split_ratio{plugin="probe",rollout="NUMBER"} 0"#,
        r#"dynvm_rollout_shadow_ratio{plugin="probe",rollout="NUMBER"} 1"#,
        r#"dynvm_rollout_streams_total{plugin="probe",rollout="NUMBER",arm="stable"} 1"#,
        r#"dynvm_rollout_streams_total{plugin="probe",rollout="NUMBER",arm="candidate"} 0"#,
        r#"dynvm_shadow_streams_total{plugin="probe",rollout="NUMBER",result="diverged"} 1"#,
        r#"dynvm_shadow_streams_total{plugin="probe",rollout="NUMBER",result="same"} 0"#,
        r#"dynvm_shadow_vm_failures_total{plugin="probe",rollout="NUMBER"} 0"#,
        r#"dynvm_shadow_divergences_total{plugin="probe",rollout="NUMBER",callback="proxy_on_request_headers",aspect="action"} 1"#,
    ] {
        let line = line.replace("NUMBER", &number);
        assert!(page.lines().any(|known| known == line), "{line} is in\n{page}");
    }
}

#[test]
fn rollouts_leave_the_page_and_no_series_is_doubled() {
    let observer = Observer::new();
    let mut config = RolloutConfig::default();
    config.observer = Some(observer.clone());
    let splits = || observer.prometheus().lines().filter(|line| line.starts_with("dynvm_rollout_split_ratio{")).count();
    let one = Two::with(BOTH[0], ["", ""], config.clone());
    let other = Two::with(BOTH[1], ["", ""], config);
    assert_eq!(splits(), 2);

    let page = observer.prometheus();
    let mut known = BTreeSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#') || line.starts_with("# TYPE")) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        assert!(known.insert(series.to_owned()), "{series} is in the page once:\n{page}");
    }

    drop(one);
    assert_eq!(splits(), 1);
    drop(other);
    assert_eq!(splits(), 0);
}
