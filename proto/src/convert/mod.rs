//! Wire to word and back, one file per message family. Conversion from the wire checks
//! everything and names the field that is wrong.
