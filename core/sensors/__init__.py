"""Sensors and products: what tiles hold, and what the archives offer of it."""

from core.sensors.product import Access, OffsetTrap, Product, ProductBand, QaMask
from core.sensors.registry import SENSORS, sensor
from core.sensors.sensor import Band, Sensor, nearest

__all__ = [
    "SENSORS",
    "Access",
    "Band",
    "OffsetTrap",
    "Product",
    "ProductBand",
    "QaMask",
    "Sensor",
    "nearest",
    "sensor",
]
