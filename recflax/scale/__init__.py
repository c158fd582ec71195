"""What changes when the catalogue outgrows one array, one device, or one request."""
