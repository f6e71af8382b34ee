"""Everything that faces people: platforms, commands, jobs and the words they are answered with."""
