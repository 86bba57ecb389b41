"""Zstandard dictionaries of records' headers, by the number that a record names.

They are part of the format: a header can only be read with the very dictionary it was written
with. None is ever changed; a better one comes under the next number.
"""

from __future__ import annotations

from functools import lru_cache

import zstandard

TEXTS: dict[int, bytes] = {
    1: (
        b'"smiles":"C[C@@H](c1ccccc1)N(C)C(=O)OCCO","inchi":"InChI=1S/C10H14N2O2/c1-2-3-4-5-6-7-8-9'
        b'-10-11-12-13-14-15-16/h1-7,9H,8H2,1-3H3,(H,12,13)/t7-/m0/s1","program":"smash","version":'
        b'"3.0.2","homo":-0.2,"lumo":0.1,"dipole":[0.0,0.0,0.0],"dft_2nd":{"n":3,"dft_1st":{"n":31,'
        b'"bytes":9000,"code":[[10,1,5],[7,0,3]],"is":{"program":"firefly","version":"8.0.1","me'
        b'thod":"b3lyp","basis":"6-31g*","functional":"b3lyp(vwn5)","spherical":false},"hf":{"n":6,'
        b'"code":[[10,1,5],[7,1,3]],"is":{"program":"gamess","version":"1 OCT 2010 (R1)","method'
        b'":"hf","basis":"sto-6g","spherical":false},{"cid":"000000001","q":0,"m":1,"z":[6,6,6,6,7,'
        b'7,8,8,1,1,1,1,1,1],"stages":{"pm3":{"n":47,"bytes":10000,"code":[[10,1,5],[7,1,3'
        b']],"is":{"program":"gamess","version":"1 OCT 2010 (R1)","method":"pm3","basis":"pm3"'
    ),
}
NEWEST = max(TEXTS)


@lru_cache
def dictionary(number: int) -> zstandard.ZstdCompressionDict:
    """Return a dictionary (`KeyError` for a number of a later version)."""
    # Headers are short and alike, and compress far better with an example.
    return zstandard.ZstdCompressionDict(TEXTS[number], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
