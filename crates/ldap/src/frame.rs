//! Cuts a stream of bytes into whole messages, for clients, servers and proxies alike.
//!
//! Memory is bounded by the size limit of a message, whatever length a peer announces: the buffer grows
//! with what has arrived, not with what was promised.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::ber::{CodecError, SEQUENCE, header};

/// The largest message that is accepted unless set otherwise: a group with 100,000 members, sent whole as
/// Samba does, takes some 10 MiB.
pub const MESSAGE_SIZE_MAX: usize = 16 * 1024 * 1024;

/// How much is read at once: some 30 entries, and two TLS records or more.
const READ_SIZE: usize = 64 * 1024;

/// Why no more messages can be cut from a stream.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes are no LDAP.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A message is larger than allowed.
    #[error("a message of {size} bytes is larger than the limit of {size_max} bytes")]
    TooLarge {
        /// The size that the message announces.
        size: usize,
        /// The limit.
        size_max: usize,
    },
    /// The stream ends within a message.
    #[error("the connection was closed in the middle of a message")]
    Cut,
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What has been read and not yet been cut into messages.
#[derive(Debug)]
pub struct FrameBuffer {
    buffer: BytesMut,
    size_max: usize,
}

impl FrameBuffer {
    /// Starts an empty buffer that accepts messages up to `size_max` bytes.
    pub fn new(size_max: usize) -> Self {
        Self { buffer: BytesMut::new(), size_max }
    }

    /// Says whether nothing is left over.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Cuts off the next whole message if it has arrived; copies nothing.
    ///
    /// # Errors
    /// When the bytes are no LDAP, or announce a message beyond the limit.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(&first) = self.buffer.first() else { return Ok(None) };
        if first != SEQUENCE {
            return Err(CodecError::Tag { expected: SEQUENCE, found: first }.into());
        }
        let Some(head) = header(&self.buffer)? else { return Ok(None) };
        let size = head.total_len()?;
        if size > self.size_max {
            return Err(FrameError::TooLarge { size, size_max: self.size_max });
        }
        if self.buffer.len() < size {
            return Ok(None);
        }
        Ok(Some(self.buffer.split_to(size).freeze()))
    }

    /// Reads once from the stream; 0 means that it has ended. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the stream fails.
    pub async fn fill<R: AsyncRead + Unpin + ?Sized>(&mut self, stream: &mut R) -> io::Result<usize> {
        // doubling keeps the copying of a large message linear
        self.buffer.reserve(READ_SIZE.max(self.buffer.len()));
        stream.read_buf(&mut self.buffer).await
    }

    /// Reads until the next message is whole; `None` when the stream has ended between two messages.
    ///
    /// # Errors
    /// When the stream fails or ends within a message, or when the bytes are no LDAP.
    pub async fn read_frame<R: AsyncRead + Unpin + ?Sized>(
        &mut self,
        stream: &mut R,
    ) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(frame) = self.next_frame()? {
                return Ok(Some(frame));
            }
            if self.fill(stream).await? == 0 {
                return if self.is_empty() { Ok(None) } else { Err(FrameError::Cut) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_arrive_in_any_pieces() {
        let stream: Vec<u8> = [&[0x30u8, 3, 2, 1, 1][..], &[0x30, 0x81, 3, 2, 1, 2], &[0x30, 0]].concat();
        for piece in 1..=stream.len() {
            let (mut ours, mut theirs) = tokio::io::duplex(piece);
            let bytes = stream.clone();
            let writer = tokio::spawn(async move {
                use tokio::io::AsyncWriteExt;
                theirs.write_all(&bytes).await
            });
            let mut frames = FrameBuffer::new(100);
            let mut sizes = Vec::new();
            while let Some(frame) = frames.read_frame(&mut ours).await.expect("well-formed") {
                sizes.push(frame.len());
            }
            assert_eq!(sizes, [5, 6, 2], "in pieces of {piece}");
            writer.await.expect("no panic").expect("written");
        }
    }

    #[tokio::test]
    async fn broken_streams() {
        let cut = FrameBuffer::new(100).read_frame(&mut &[0x30u8, 5, 2][..]).await;
        assert!(matches!(cut, Err(FrameError::Cut)), "{cut:?}");
        let large = FrameBuffer::new(100).read_frame(&mut &[0x30u8, 0x84, 0x7f, 0, 0, 0][..]).await;
        assert!(matches!(large, Err(FrameError::TooLarge { size_max: 100, .. })), "{large:?}");
        let other = FrameBuffer::new(100).read_frame(&mut &b"HTTP/1.1 400"[..]).await;
        assert!(matches!(other, Err(FrameError::Codec(CodecError::Tag { .. }))), "{other:?}");
    }
}
