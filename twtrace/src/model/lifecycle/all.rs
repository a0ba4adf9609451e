//! Every value that a lifecycle's fields may have: so that a word can be held against all that there are.

use super::{Basis, Close, Confidence, Direction, OwnerBasis, Side, TimeWaitEnd};

/// The compiler says which variant is missing.
macro_rules! all {
    ($kind:ident: $($variant:ident)+) => {
        impl $kind {
            /// All of them.
            pub const ALL: &'static [Self] = {
                const fn known(value: $kind) -> $kind {
                    match value {
                        $($kind::$variant => value,)+
                    }
                }
                &[$(known(Self::$variant)),+]
            };
        }
    };
}

all!(Basis: Observed Hook SockDiag Inferred);
all!(Close: Fin ResetSent ResetReceived Refused TimedOut Destroyed Unreachable NoPort Abandoned);
all!(Confidence: Certain Likely);
all!(Direction: Outbound Inbound);
all!(OwnerBasis: Connect Accept Close SocketTable Listener);
all!(Side: Local Remote Simultaneous Neither);
all!(TimeWaitEnd: Expired Reused TakenOver Reset Purged Overflow);
