"""Human translations with a fault that reading shows: pairs of the data sets that are not clean.

All Yoruba pairs were looked through for numbers above twelve or with decimals, and for clauses left in English, and a
sample for smaller numbers (docs/results.md says how). Yoruba numbers were worked out from its number words. Abridged
translations are not in here, and neither are numbers that are misspelt, rounded ("more than 5 million" for 5.5) or said
in another way ("100 percent certain").
"""

from __future__ import annotations

from collections.abc import Mapping

# Data set -> language -> place of the pair (from 0, as the reader gives them) -> what is wrong.
FAULTY: Mapping[str, Mapping[str, Mapping[int, str]]] = {
    "ntrex": {
        "yo": {
            56: "135 became 35",
            70: "125 million became 135",
            165: "0800 became 08000",
            235: "5.69 million became 5.99",
            368: "12 miles became 10",
            400: "800 became 1600",
            402: "24 is missing",
            450: "41 became 44",
            541: "220 2/3 is missing",
            545: "five weeks became six",
            578: "32 is missing",
            662: "63 became 67",
            714: "15 is missing",
            763: "2006 became 2016",
            804: "34th is missing",
            968: "36 became 26",
            979: "390 is missing",
            999: "110 billion became 110",
            1021: "26 became 16",
            1028: "18 is missing",
            1030: "July 20 is missing",
            1108: "29 is missing",
            1161: "Radio 4 became Radio",
            1167: "ninth is missing",
            1204: "a clause in English",
            1257: "a clause in English",
            1273: "100 million became 100",
            1319: "a sentence in English",
            1451: "70 became 100",
            1502: "two is missing",
            1698: "17.4, 5.6 and 2.9 are missing",
            1738: "3:35 is missing",
            1739: "13:10 and 15:16 are missing",
            1741: "27:37 is missing",
            1755: "a sentence in English",
            1783: "100 feet are missing",
            1857: "18 is missing",
            1861: "half a sentence in English",
            1915: "45 is missing",
            1942: "first is missing",
            1943: "150 billion are missing",
            1960: "2018 is missing",
            1963: "16th is missing",
            1964: "1979 is missing",
        }
    },
    "flores": {
        "yo": {
            19: "45 million became 35",
            29: "second is missing",
            49: "34 became 24",
            64: "60 is missing",
            73: "2009 is missing",
            115: "First is missing",
            184: "1964 became 1984",
            200: "2005 is missing",
            217: "39 became 29",
            222: "the subject in English",
            260: "1,000th became 100th",
            263: "330,000 became 330",
            386: "2005 became 200",
            389: "800 became 1600",
            452: "24 became 16",
            524: "1939 became 1993",
            637: "2.2 million became 2",
            657: "third and second are missing",
            892: "the 1830s became 183",
            913: "two centuries became many years",
            992: "90 became 70",
            995: "149 became 49",
            996: "783,562 became 783",
        }
    },
}
