"""Word problems whose worked answers end in `#### number`, as in GSM8K."""
