select epoch from registry
