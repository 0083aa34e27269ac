//! Messages of plugins as events of the crate `tracing`.

use dynvm_abi::types::LogLevel;
use tracing::level_filters::LevelFilter;

use super::log::{Log, LogSource};

/// Emits messages as `tracing` events with target `dynvm::plugin` and the fields `vm_id`, `plugin`
/// and `context_id`.
///
/// Levels have the same names in `tracing`, except `Critical`, which becomes `ERROR` with a field
/// `critical = true`. Bytes that are not UTF-8 are replaced. The level that plugins read is the
/// most verbose one of the process's subscriber, whatever it filters by target.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingLog;

impl Log for TracingLog {
    fn log(&self, source: LogSource<'_>, level: LogLevel, message: &[u8]) {
        // The level of an event is part of its static metadata, so each level needs its own call
        // site.
        macro_rules! event {
            ($level:ident $(, $field:ident = $value:expr)*) => {
                tracing::event!(
                    target: "dynvm::plugin",
                    tracing::Level::$level,
                    vm_id = source.vm_id,
                    plugin = source.plugin,
                    context_id = source.context_id,
                    $($field = $value,)*
                    "{}",
                    String::from_utf8_lossy(message)
                )
            };
        }
        match level {
            LogLevel::Trace => event!(TRACE),
            LogLevel::Debug => event!(DEBUG),
            LogLevel::Info => event!(INFO),
            LogLevel::Warn => event!(WARN),
            LogLevel::Error => event!(ERROR),
            _ => event!(ERROR, critical = true),
        }
    }

    fn level(&self) -> LogLevel {
        match LevelFilter::current() {
            LevelFilter::TRACE => LogLevel::Trace,
            LevelFilter::DEBUG => LogLevel::Debug,
            LevelFilter::INFO => LogLevel::Info,
            LevelFilter::WARN => LogLevel::Warn,
            LevelFilter::ERROR => LogLevel::Error,
            _ => LogLevel::Critical,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// A subscriber with a maximum level.
    struct Most(LevelFilter);

    impl Subscriber for Most {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= self.0
        }

        fn max_level_hint(&self) -> Option<LevelFilter> {
            Some(self.0)
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn plugins_are_told_what_is_wanted() {
        for (most, level) in [
            (LevelFilter::TRACE, LogLevel::Trace),
            (LevelFilter::DEBUG, LogLevel::Debug),
            (LevelFilter::INFO, LogLevel::Info),
            (LevelFilter::WARN, LogLevel::Warn),
            (LevelFilter::ERROR, LogLevel::Error),
            (LevelFilter::OFF, LogLevel::Critical),
        ] {
            // Other tests of this process have no subscriber, so this one's level is that of the process.
            tracing::subscriber::with_default(Most(most), || assert_eq!(TracingLog.level(), level));
        }
    }
}
