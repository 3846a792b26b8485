"""Docker Content Trust: signatures made, read back and prepared with the notary client."""
