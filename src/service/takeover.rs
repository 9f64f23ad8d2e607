//! Decides whether the streams of the previous process may continue.

use super::{Caller, Service};
use crate::delivery::takeover::CarriedStream;
use crate::delivery::{ConnectionGuard, Continuation};
use crate::sse::Bye;

impl Service {
    /// Continues a stream if its key is still good and covers it. Returns it with a reason if it has to end.
    pub(crate) fn continue_stream(
        &self,
        stream: CarriedStream,
        connection: ConnectionGuard,
    ) -> Option<(CarriedStream, Bye)> {
        let heartbeat = self.settings.load().heartbeat;
        let Some(id) = stream.record.subscription.key.clone() else {
            let continuation = Continuation { owner: Caller::CONTROL, key: None, heartbeat };
            return self.delivery.continue_stream(stream, continuation, connection);
        };
        let continuation = Continuation { owner: &id, key: Some(self.keyring.watch(&id)), heartbeat };
        self.delivery.continue_stream(stream, continuation, connection)
    }

    /// Whether the keys are known, which takes a moment in a fleet.
    pub(crate) fn knows_keys(&self) -> bool {
        !self.keyring.has_no_keys()
    }
}
