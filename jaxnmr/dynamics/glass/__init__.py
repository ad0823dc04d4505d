"""Glasses: quenched from the melt, and the network, rings and angles of what comes out."""
