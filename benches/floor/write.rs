//! One send for each subscriber and alert: what a server pays that never puts two alerts into one write.

use super::Options;
use super::clients::{Clients, STREAM, Want};
use crate::{Result, net};

pub(super) fn run(options: &Options) -> Result<()> {
    let mut clients = Clients::new(options)?;
    let mut subscribers: Vec<usize> = Vec::new();
    let (mut wants, mut sent) = (Vec::new(), 0);
    loop {
        clients.turn(None, &mut wants)?;
        for (number, want) in wants.drain(..) {
            match want {
                Want::Subscribe => {
                    if let Some(socket) = clients.socket(number) {
                        net::send_all(socket, STREAM)?;
                        subscribers.push(number);
                    }
                }
                Want::Publish(chunk) => {
                    sent += 1;
                    let mut late = Vec::new();
                    for (index, &subscriber) in subscribers.iter().enumerate() {
                        let times = match index {
                            0 if options.drop == Some(sent) => 0,
                            0 if options.repeat == Some(sent) => 2,
                            _ => 1,
                        };
                        for _ in 0..times {
                            let taken = clients.socket(subscriber).map(|socket| net::send(socket, &chunk));
                            // Whoever has not read the megabytes before this is given up: this floor keeps no queue.
                            if !matches!(taken, Some(Ok(Some(length))) if length == chunk.len()) {
                                late.push(subscriber);
                            }
                        }
                    }
                    clients.answer(number);
                    for subscriber in late {
                        subscribers.retain(|&other| other != subscriber);
                        clients.close(subscriber);
                    }
                }
                Want::Gone => {
                    subscribers.retain(|&other| other != number);
                    clients.close(number);
                }
                Want::Writable | Want::Other => {}
            }
        }
    }
}
