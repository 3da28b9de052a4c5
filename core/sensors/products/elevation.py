"""Elevation: the Copernicus DEM at 30 and 90 m, and the rate of elevation change of Hugonnet et al. 2021."""

from __future__ import annotations

from core.sensors.product import Access, Product, ProductBand


def _copernicus(res_m: int) -> Product:
    return Product(
        name=f"copernicus_dem_{res_m}",
        sensor="dem",
        title=f"Copernicus DEM GLO-{res_m}",
        bands=(ProductBand("elevation_m", ("data", "elevation")),),
        catalog=f"s3://copernicus-dem-{res_m}m",
        collections=(("", f"cop-dem-glo-{res_m}"),),
        tiling="copernicus_dem",
        access=Access((f"copernicus-dem-{res_m}m",), "eu-central-1", anonymous=True, signer="planetary_computer"),
        licence="Copernicus DEM licence: free with attribution (© DLR e.V. 2010–2014 and © Airbus Defence and Space "
        "GmbH 2014–2018, provided under COPERNICUS by the European Union and ESA)",
        source="https://registry.opendata.aws/copernicus-dem/",
        traps=(
            "A surface of 2011 to 2015: glaciers have sunk since, some by tens of metres.",
            "Absent tiles are ocean, not missing data.",
            "Pixels grow wider in longitude towards the poles; slope must be taken after projection to metres.",
            "Heights are above the geoid EGM2008, not the ellipsoid.",
            "Some countries' tiles (Armenia, Azerbaijan) are absent from the public 30 m set.",
        ),
    )


ELEVATION: tuple[Product, ...] = (
    _copernicus(30),
    _copernicus(90),
    Product(
        name="hugonnet_dhdt",
        sensor="dhdt",
        title="Glacier elevation change 2000–2019, Hugonnet et al. 2021",
        bands=(ProductBand("dhdt_m_a", ("dhdt",)), ProductBand("dhdt_sigma_m_a", ("dhdt_err",))),
        tiling="hugonnet_dhdt",
        licence="CC-BY-4.0",
        source="https://doi.org/10.6096/13",
        traps=(
            "Ends in 2019, and the rate is that of the period of the file, 5 to 20 years.",
            "Distributed as archives of tiles: `catalog` must name the folder of an unpacked copy.",
            "Tiles are named by their lower-left corner and are in the UTM zone of it, at 100 m.",
            "Nodata is that of the file.",
        ),
    ),
)
