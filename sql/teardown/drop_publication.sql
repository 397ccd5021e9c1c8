drop publication {publication}
