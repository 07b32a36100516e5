"""A request spoken part by part: attempts, context, the order in which parts leave."""
