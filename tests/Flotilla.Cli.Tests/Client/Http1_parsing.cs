using System.Text;
using Flotilla.Client;

namespace Flotilla.Cli.Tests.Client;

/// <summary>The hand-written response parser under every way of cutting, and under nonsense.</summary>
public sealed class Http1_parsing
{
    public static TheoryData<string, int, string> Answers => new()
    {
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"1.0.7.2\"\r\n\r\nhello", 200, "hello" },
        { "HTTP/1.1 200\r\ncontent-length:0\r\nETag: \"1.0.7.2\"\r\n\r\n", 200, "" },
        { "HTTP/1.1 204 No Content\r\nETag: \"1.0.7.2\"\r\n\r\n", 204, "" },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"1.0.7.2\"\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n", 200, "hello" },
        { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nETag: \"1.0.7.2\"\r\nContent-Length: 2\r\n\r\n{}", 503, "{}" },
    };

    [Theory]
    [MemberData(nameof(Answers))]
    public void An_answer_is_read_the_same_however_it_is_cut(string text, int status, string body)
    {
        var bytes = Encoding.Latin1.GetBytes(text);
        for (var first = 1; first < bytes.Length; first++)
        {
            for (var step = 1; step <= 3; step++)
            {
                var parser = new Http1ResponseParser();
                var position = 0;
                var done = false;
                while (!done)
                {
                    var take = Math.Min(position == 0 ? first : step == 3 ? bytes.Length : step, bytes.Length - position);
                    bytes.AsSpan(position, take).CopyTo(parser.Space.Span);
                    position += take;
                    done = parser.Received(take);
                }

                Assert.Equal(bytes.Length, position);
                Assert.Equal((status, body, "1.0.7.2", true), (parser.Status, Encoding.Latin1.GetString(parser.Body.Span), parser.ETag, parser.KeepAlive));
            }
        }
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nleft over")]
    public void A_connection_that_ends_or_says_too_much_is_not_used_again(string text)
    {
        var parser = new Http1ResponseParser();
        Assert.True(Feed(parser, text));
        Assert.False(parser.KeepAlive);
    }

    [Fact]
    public void A_body_without_length_ends_with_the_connection()
    {
        var parser = new Http1ResponseParser();
        Assert.False(Feed(parser, "HTTP/1.1 200 OK\r\n\r\nsome"));
        Assert.False(Feed(parser, "thing"));
        Assert.True(parser.Received(0));
        Assert.Equal("something", Encoding.Latin1.GetString(parser.Body.Span));
    }

    [Theory]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n\r\n")]
    [InlineData("HTTP/2 200\r\n\r\n")]
    [InlineData("HTTP/1.1 99 No\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nno colon here\r\n\r\n")]
    public void Nonsense_is_refused(string text) => Assert.Throws<Http1ProtocolException>(() => Feed(new Http1ResponseParser(), text));

    [Fact]
    [Trait("Hazard", "55")]
    public void A_claimed_length_allocates_nothing_that_has_not_arrived()
    {
        var parser = new Http1ResponseParser();
        Assert.False(Feed(parser, "HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n"));
        Assert.InRange(parser.Space.Length, 1, 2 << 20);
    }

    [Fact]
    public void Random_damage_is_refused_or_read_but_nothing_else_is_thrown()
    {
        var random = new Random(1);
        var originals = Answers.Select(a => Encoding.Latin1.GetBytes(a.Data.Item1)).ToList();
        for (var i = 0; i < 50_000; i++)
        {
            var bytes = (byte[])originals[random.Next(originals.Count)].Clone();
            for (var flips = random.Next(1, 5); flips > 0; flips--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                var parser = new Http1ResponseParser();
                _ = Feed(parser, Encoding.Latin1.GetString(bytes)) || parser.Received(0);
            }
            catch (Http1ProtocolException)
            {
                // This is the one way to say no.
            }
        }
    }

    [Fact]
    public void A_large_body_comes_through_whole()
    {
        var body = new byte[3 << 20];
        new Random(2).NextBytes(body);
        var parser = new Http1ResponseParser();
        byte[] bytes = [.. Encoding.Latin1.GetBytes($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n"), .. body];
        var position = 0;
        var done = false;
        while (!done)
        {
            var space = parser.Space;
            var take = Math.Min(space.Length, bytes.Length - position);
            bytes.AsSpan(position, take).CopyTo(space.Span);
            position += take;
            done = parser.Received(take);
        }

        Assert.True(parser.Body.Span.SequenceEqual(body));
    }

    private static bool Feed(Http1ResponseParser parser, string text)
    {
        var bytes = Encoding.Latin1.GetBytes(text);
        bytes.CopyTo(parser.Space.Span);
        return parser.Received(bytes.Length);
    }
}
