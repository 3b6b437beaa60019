"""Small charms through the real engine, real Pebble and real pods."""
