using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace Flotilla.Client;

/// <summary>The peer sent something that is no HTTP/1.1 response: nothing can be concluded about the request.</summary>
internal sealed class Http1ProtocolException(string message) : IOException(message);

/// <summary>
/// Reads one HTTP/1.1 response (RFC 9112) from bytes that arrive in any pieces. Does no I/O: the owner receives into
/// <see cref="Space"/> and reports with <see cref="Received"/>, so that every way of cutting a response can be tested.
/// Memory grows with what has really arrived, never with what a length claims. Not thread-safe.
/// </summary>
internal sealed class Http1ResponseParser
{
    /// <summary>Status line and headers together may be this long.</summary>
    internal const int MaxHeadBytes = 64 << 10;

    /// <summary>Longer bodies are refused: pages of a listing stay far below.</summary>
    internal const int MaxBodyBytes = 256 << 20;

    private const int ChunkLineBytes = 4 << 10;
    private static readonly SearchValues<byte> DigitBytes = SearchValues.Create("0123456789"u8);

    private byte[] _buffer = new byte[8 << 10];
    private int _end;          // bytes received so far
    private int _next;         // first byte not yet interpreted
    private int _bodyStart;
    private int _bodyEnd;      // chunked bodies are compacted in place: this is where the next chunk's bytes go
    private Stage _stage;
    private long _remaining;   // of the body or the chunk

    private enum Stage
    {
        Head,
        Length,
        ChunkSize,
        ChunkData,
        ChunkEnd,
        Trailers,
        UntilClose,
        Done,
    }

    /// <summary>The status code, once <see cref="Received"/> has returned true.</summary>
    public int Status { get; private set; }

    /// <summary>The body; valid until the next <see cref="Reset"/>.</summary>
    public ReadOnlyMemory<byte> Body => _buffer.AsMemory(_bodyStart, _bodyEnd - _bodyStart);

    /// <summary>The ETag without quotes, or null.</summary>
    public string? ETag { get; private set; }

    /// <summary>What Retry-After asks for, or null. Only its form in seconds is understood.</summary>
    public TimeSpan? RetryAfter { get; private set; }

    /// <summary>The connection may carry another request.</summary>
    public bool KeepAlive { get; private set; }

    /// <summary>Anything at all has arrived.</summary>
    public bool Started => _end > 0;

    /// <summary>Where to receive into; never empty before the response is complete.</summary>
    public Memory<byte> Space
    {
        get
        {
            if (_end == _buffer.Length)
            {
                // What is known to be coming may be allocated in one step up to a limit that a liar can't abuse.
                var wanted = _stage == Stage.Length ? Math.Min(_remaining - (_end - _next), 1 << 20) : 0;
                Array.Resize(ref _buffer, (int)Math.Min(Math.Max(_buffer.Length * 2L, _end + wanted), MaxHeadBytes + (2L * MaxBodyBytes)));
            }

            return _buffer.AsMemory(_end);
        }
    }

    /// <summary>Forgets the response and waits for another one.</summary>
    public void Reset()
    {
        // One large answer must not pin its memory in an idle connection.
        if (_buffer.Length > 1 << 20)
        {
            _buffer = new byte[8 << 10];
        }

        _end = _next = _bodyStart = _bodyEnd = 0;
        _stage = Stage.Head;
        _remaining = 0;
        Status = 0;
        ETag = null;
        RetryAfter = null;
        KeepAlive = false;
    }

    /// <summary>
    /// So many bytes have been received into <see cref="Space"/>; 0 says that the peer has closed. True once the response
    /// is complete. Throws <see cref="Http1ProtocolException"/> for anything that is not a response.
    /// </summary>
    public bool Received(int count)
    {
        if (count == 0)
        {
            if (_stage == Stage.UntilClose)
            {
                return Finish();
            }

            throw new Http1ProtocolException(Started ? "the connection was closed in the middle of an answer" : "the connection was closed before an answer");
        }

        _end += count;
        while (_stage != Stage.Done)
        {
            var advanced = _stage switch
            {
                Stage.Head => ReadHead(),
                Stage.Length => ReadLength(),
                Stage.ChunkSize => ReadChunkSize(),
                Stage.ChunkData => ReadChunkData(),
                Stage.ChunkEnd => ReadChunkEnd(),
                Stage.Trailers => ReadTrailer(),
                _ => ReadUntilClose(),
            };
            if (!advanced)
            {
                return false;
            }
        }

        return true;
    }

    private bool Finish()
    {
        _stage = Stage.Done;
        // Bytes behind the answer to the only request under way belong to nothing: such a connection can't be trusted.
        KeepAlive &= _next == _end;
        return true;
    }

    private bool ReadHead()
    {
        var pending = _buffer.AsSpan(_next, _end - _next);
        var length = pending.IndexOf("\r\n\r\n"u8);
        if (length < 0)
        {
            return pending.Length > MaxHeadBytes ? throw new Http1ProtocolException("the answer's headers are too long") : false;
        }

        _next += length + 4;
        ReadOnlySpan<byte> head = pending[..(length + 2)];
        var line = NextLine(ref head);
        var http11 = line.StartsWith("HTTP/1.1 "u8);
        if ((!http11 && !line.StartsWith("HTTP/1.0 "u8)) || line.Length < 12
            || !Utf8Parser.TryParse(line[9..12], out int status, out var used) || used != 3 || status < 100
            || (line.Length > 12 && line[12] != ' '))
        {
            throw new Http1ProtocolException("the answer is not HTTP/1.1: does something else listen at this address?");
        }

        Status = status;
        KeepAlive = http11;
        long? contentLength = null;
        var chunked = false;
        while (!head.IsEmpty)
        {
            ReadHeader(NextLine(ref head), ref contentLength, ref chunked);
        }

        if (status < 200)
        {
            // An interim answer (RFC 9110, section 15.2): the real one follows.
            ETag = null;
            RetryAfter = null;
            return true;
        }

        _bodyStart = _bodyEnd = _next;
        if (status is 204 or 304)
        {
            return Finish();
        }

        if (chunked)
        {
            if (contentLength is not null)
            {
                throw new Http1ProtocolException("the answer has both Content-Length and Transfer-Encoding");
            }

            _stage = Stage.ChunkSize;
        }
        else if (contentLength is { } bytes)
        {
            _remaining = bytes;
            _stage = Stage.Length;
        }
        else
        {
            KeepAlive = false;
            _stage = Stage.UntilClose;
        }

        return true;
    }

    private void ReadHeader(ReadOnlySpan<byte> line, ref long? contentLength, ref bool chunked)
    {
        var colon = line.IndexOf((byte)':');
        if (colon <= 0)
        {
            throw new Http1ProtocolException("the answer has a header without a name");
        }

        var name = line[..colon];
        var value = line[(colon + 1)..].Trim(" \t"u8);
        if (Ascii.EqualsIgnoreCase(name, "content-length"u8))
        {
            if (value.IsEmpty || value.IndexOfAnyExcept(DigitBytes) >= 0 || !Utf8Parser.TryParse(value, out long length, out _)
                || length > MaxBodyBytes || (contentLength is { } other && other != length))
            {
                throw new Http1ProtocolException("the answer's Content-Length makes no sense, or is over 256 MiB");
            }

            contentLength = length;
        }
        else if (Ascii.EqualsIgnoreCase(name, "transfer-encoding"u8))
        {
            chunked = Ascii.EqualsIgnoreCase(value, "chunked"u8) ? true : throw new Http1ProtocolException("the answer has an unknown Transfer-Encoding");
        }
        else if (Ascii.EqualsIgnoreCase(name, "connection"u8))
        {
            if (Ascii.EqualsIgnoreCase(value, "close"u8))
            {
                KeepAlive = false;
            }
        }
        else if (Ascii.EqualsIgnoreCase(name, "etag"u8))
        {
            ETag = value.Length >= 2 && value[0] == '"' && value[^1] == '"' ? Encoding.ASCII.GetString(value[1..^1]) : null;
        }
        else if (Ascii.EqualsIgnoreCase(name, "retry-after"u8)
            && Utf8Parser.TryParse(value, out double seconds, out var used) && used == value.Length && seconds is >= 0 and <= 3600)
        {
            RetryAfter = TimeSpan.FromSeconds(seconds);
        }
    }

    private bool ReadLength()
    {
        if (_end - _next < _remaining)
        {
            return false;
        }

        _next += (int)_remaining;
        _bodyEnd = _next;
        return Finish();
    }

    private bool ReadChunkSize()
    {
        if (!TryTakeLine(out var line))
        {
            return false;
        }

        // Extensions after the semicolon mean nothing to us (RFC 9112, section 7.1.1).
        var semicolon = line.IndexOf((byte)';');
        var digits = (semicolon < 0 ? line : line[..semicolon]).Trim(" \t"u8);
        if (digits.Length is 0 or > 8 || !Utf8Parser.TryParse(digits, out uint size, out var used, 'x') || used != digits.Length
            || size + (long)(_bodyEnd - _bodyStart) > MaxBodyBytes)
        {
            throw new Http1ProtocolException("the answer has a chunk of no sensible size");
        }

        _remaining = size;
        _stage = size == 0 ? Stage.Trailers : Stage.ChunkData;
        return true;
    }

    private bool ReadChunkData()
    {
        var take = (int)Math.Min(_remaining, _end - _next);
        if (take == 0)
        {
            return false;
        }

        // The body grows where the framing was, so that it ends up in one piece without another buffer.
        _buffer.AsSpan(_next, take).CopyTo(_buffer.AsSpan(_bodyEnd));
        _bodyEnd += take;
        _next += take;
        _remaining -= take;
        if (_remaining > 0)
        {
            return false;
        }

        _stage = Stage.ChunkEnd;
        return true;
    }

    private bool ReadChunkEnd()
    {
        if (_end - _next < 2)
        {
            return false;
        }

        if (_buffer[_next] != '\r' || _buffer[_next + 1] != '\n')
        {
            throw new Http1ProtocolException("the answer has a chunk that does not end where it should");
        }

        _next += 2;
        _stage = Stage.ChunkSize;
        return true;
    }

    private bool ReadTrailer()
    {
        if (!TryTakeLine(out var line))
        {
            return false;
        }

        return line.IsEmpty ? Finish() : true;
    }

    private bool ReadUntilClose()
    {
        _next = _bodyEnd = _end;
        return _bodyEnd - _bodyStart > MaxBodyBytes ? throw new Http1ProtocolException("the answer is over 256 MiB") : false;
    }

    private bool TryTakeLine(out ReadOnlySpan<byte> line)
    {
        var pending = _buffer.AsSpan(_next, _end - _next);
        var length = pending.IndexOf("\r\n"u8);
        if (length < 0)
        {
            line = default;
            return pending.Length > ChunkLineBytes ? throw new Http1ProtocolException("the answer has a line that is too long") : false;
        }

        line = pending[..length];
        _next += length + 2;
        return true;
    }

    private static ReadOnlySpan<byte> NextLine(ref ReadOnlySpan<byte> head)
    {
        var length = head.IndexOf("\r\n"u8);
        var line = head[..length];
        head = head[(length + 2)..];
        return line;
    }
}
