"""What the end-to-end tests and the crash harness share: servers, targets, and weir itself seen from outside."""
