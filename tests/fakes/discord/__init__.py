"""A Discord on loopback: gateway and REST at the wire, checked against Discord's own OpenAPI description."""
