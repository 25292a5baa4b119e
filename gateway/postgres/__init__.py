"""The PostgreSQL that the gateway uses: an external one or the embedded one."""
