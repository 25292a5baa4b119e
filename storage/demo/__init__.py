"""Insert demo data: a small home, and generated processes for load tests."""
