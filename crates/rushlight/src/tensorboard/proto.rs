//! As much of the protobuf encoding as TensorBoard's messages need. A message is built field by field; the
//! numbers of the fields are given where a message is made.

/// An encoded message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message(Vec<u8>);

/// How the value of a field is encoded.
enum Wire {
    Varint = 0,
    Eight = 1,
    Length = 2,
}

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// An integer, bool or enum. Zero is what an absent field means, so it is left out.
    pub(crate) fn integer(mut self, field: u32, value: i64) -> Self {
        if value != 0 {
            self.key(field, Wire::Varint);
            self.varint(value as u64);
        }
        self
    }

    /// One of several integers under the same field, zero as well.
    pub(crate) fn element(mut self, field: u32, value: i64) -> Self {
        self.key(field, Wire::Varint);
        self.varint(value as u64);
        self
    }

    /// A bool that is written even when false.
    pub(crate) fn flag(mut self, field: u32, value: bool) -> Self {
        self.key(field, Wire::Varint);
        self.varint(u64::from(value));
        self
    }

    pub(crate) fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, Wire::Eight);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Each of these under the same field: a repeated message.
    pub(crate) fn messages(self, field: u32, values: impl IntoIterator<Item = Message>) -> Self {
        values.into_iter().fold(self, |message, value| message.message(field, &value))
    }

    /// A map entry whose key is a text.
    pub(crate) fn entry(self, field: u32, key: &str, value: &Message) -> Self {
        self.message(field, &Message::new().text(1, key).message(2, value))
    }

    pub(crate) fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// A message within, written even when empty: its presence may mean something.
    pub(crate) fn message(self, field: u32, value: &Message) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(crate) fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.key(field, Wire::Length);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn key(&mut self, field: u32, wire: Wire) {
        self.varint(u64::from(field) << 3 | wire as u64);
    }

    /// Seven bits a byte, the lowest first; the top bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded_as_the_format_defines() {
        // The examples of the format's own description: field 1 = 150, field 2 = "testing".
        assert_eq!(Message::new().integer(1, 150).as_bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::new().text(2, "testing").as_bytes(), b"\x12\x07testing");
        let inner = Message::new().integer(1, 150);
        assert_eq!(Message::new().message(3, &inner).as_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(Message::new().double(1, 1.0).as_bytes(), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(Message::new().integer(16, 1).as_bytes(), [0x80, 0x01, 0x01], "a key of two bytes");
    }

    #[test]
    fn numbers_at_the_ends_of_their_range() {
        assert_eq!(Message::new().integer(1, 0).as_bytes(), [0u8; 0]);
        let minus_one = [&[0x08][..], &[0xff; 9], &[0x01]].concat();
        assert_eq!(Message::new().integer(1, -1).as_bytes(), minus_one);
        let largest = [&[0x08][..], &[0xff; 8], &[0x7f]].concat();
        assert_eq!(Message::new().integer(1, i64::MAX).as_bytes(), largest);
    }
}
