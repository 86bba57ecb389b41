"""Labels where potentials are least sure: which geometries to label next, of which pool."""
