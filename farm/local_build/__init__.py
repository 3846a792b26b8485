"""Packages made on this machine alone; neither broker nor worker is asked."""
