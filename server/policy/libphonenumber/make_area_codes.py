"""Makes area_codes.txt of libphonenumber's resources/geocoding/en/1.txt, which says for numbers of
+1 where they are, from "1201|New Jersey" to "1201200|Jersey City, NJ".

usage: make_area_codes.py 1.txt > area_codes.txt

An area code is of the state that its own line names, else of the one that all longer ones name.
It is left out when they name several, or none that is a state or province.
"""

import collections
import re
import sys

US = """Alabama AL|Alaska AK|Arizona AZ|Arkansas AR|California CA|Colorado CO|Connecticut CT|Delaware DE|
Washington D.C. DC|Florida FL|Georgia GA|Hawaii HI|Idaho ID|Illinois IL|Indiana IN|Iowa IA|Kansas KS|Kentucky KY|
Louisiana LA|Maine ME|Maryland MD|Massachusetts MA|Michigan MI|Minnesota MN|Mississippi MS|Missouri MO|Montana MT|
Nebraska NE|Nevada NV|New Hampshire NH|New Jersey NJ|New Mexico NM|New York NY|North Carolina NC|North Dakota ND|
Ohio OH|Oklahoma OK|Oregon OR|Pennsylvania PA|Rhode Island RI|South Carolina SC|South Dakota SD|Tennessee TN|
Texas TX|Utah UT|Vermont VT|Virginia VA|Washington State WA|West Virginia WV|Wisconsin WI|Wyoming WY"""
CA = """Alberta AB|British Columbia BC|British Colombia BC|Manitoba MB|New Brunswick NB|
Newfoundland and Labrador NL|Nova Scotia NS|Ontario ON|Prince Edward Island PE|Quebec QC|Saskatchewan SK|
Northwest Territories NT|Nunavut NU|Yukon YT"""
# Several provinces share these.
SHARED = {"Nova Scotia/Prince Edward Island": "CA", "Northwest Territories/Nunavut/Yukon": "CA"}
# The file has no names for territories of the US (the codes are ITU-T E.164's).
TERRITORIES = {"340": "US-VI", "670": "US-MP", "671": "US-GU", "684": "US-AS", "787": "US-PR", "939": "US-PR"}


def names():
    known = dict(SHARED)
    for country, states in (("US", US), ("CA", CA)):
        for state in states.replace("\n", "").split("|"):
            name, code = state.rsplit(" ", 1)
            known[name] = known[", " + code] = country + "-" + code
    return known


def main():
    known = names()
    own, longer = {}, collections.defaultdict(set)
    for line in open(sys.argv[1], encoding="utf-8"):
        match = re.fullmatch(r"1(\d{3})(\d*)\|(.+)\n?", line)
        if not match:
            continue
        area, rest, place = match.groups()
        region = known.get(place) or known.get(place[-4:])
        if rest:
            longer[area].add(region)
        elif region:
            own[area] = region
    for area, regions in longer.items():
        if area not in own and len(regions) == 1 and None not in regions:
            own[area] = regions.pop()
    print("# Area codes of the US and Canada, and the state or province (ISO 3166-2) that each is of.")
    print("# Made of libphonenumber's resources/geocoding/en/1.txt by make_area_codes.py: see README.md.")
    print("# Copyright (C) 2011 The Libphonenumber Authors. Apache License, Version 2.0: see LICENSE.")
    own.update(TERRITORIES)
    for area, region in sorted(own.items()):
        print(area, region)


main()
