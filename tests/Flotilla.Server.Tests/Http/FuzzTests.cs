using System.Buffers;
using System.Text;
using System.Text.Json;
using Flotilla.Server.Http;

namespace Flotilla.Server.Tests.Http;

/// <summary>Random input to every parser of the door. Each case prints its seed when it fails.</summary>
public sealed class FuzzTests
{
    private const int Cases = 20_000;

    private static readonly string[] Pieces =
    [
        "{", "}", "[", "]", "\"", ":", ",", "\"value\"", "\"valueBase64\"", "\"ttlSeconds\"", "\"increment\"", "\"v\"", "\"dg==\"", "1", "-1", "1.5", "1e9", "null", "true",
        " ", "\n", "\\u0041", "\\ud800", "\\n", "ü", "\u0000", "//", "{\"value\":\"v\"}", "{\"value\":\"a\\u00fcb\",\"ttlSeconds\":3}",
    ];

    [Fact]
    public void Percent_decoding_undoes_any_encoding_of_any_bytes()
    {
        for (var seed = 0; seed < Cases; seed++)
        {
            var random = new Random(seed);
            var bytes = new byte[random.Next(40)];
            random.NextBytes(bytes);
            var text = new StringBuilder();
            foreach (var b in bytes)
            {
                var literal = b < 0x80 && b != '%' && random.Next(2) == 0;
                _ = literal ? text.Append((char)b) : text.Append('%').Append(random.Next(2) == 0 ? b.ToString("x2") : b.ToString("X2"));
            }

            Assert.True(PercentEncoding.TryDecode(text.ToString(), plusIsSpace: false, out var decoded), $"seed {seed}");
            Assert.True(bytes.AsSpan().SequenceEqual(decoded), $"seed {seed}");
        }
    }

    [Fact]
    public void Percent_decoding_of_anything_either_fails_or_explains_every_character()
    {
        const string alphabet = "%%%%0aAfFgz/.+ é";
        for (var seed = 0; seed < Cases; seed++)
        {
            var random = new Random(seed);
            var text = string.Concat(Enumerable.Range(0, random.Next(12)).Select(_ => alphabet[random.Next(alphabet.Length)]));
            var valid = !text.Contains('é', StringComparison.Ordinal) && Enumerable.Range(0, text.Length).All(i => text[i] != '%' || (i + 2 < text.Length && Uri.IsHexEncoding(text, i)));
            var decoded = PercentEncoding.TryDecode(text, plusIsSpace: false, out var bytes);
            Assert.True(valid == decoded, $"seed {seed}: {text}");
            if (decoded)
            {
                var pieces = text.Split('%');
                var expected = pieces[0] + string.Concat(pieces.Skip(1).Select(p => (char)Convert.ToByte(p[..2], 16) + p[2..]));
                Assert.Equal(expected, Encoding.Latin1.GetString(bytes));
            }
        }
    }

    [Fact]
    public void Base64_of_either_alphabet_padded_or_not_gives_the_bytes()
    {
        for (var seed = 0; seed < Cases; seed++)
        {
            var random = new Random(seed);
            var bytes = new byte[random.Next(30)];
            random.NextBytes(bytes);
            var text = Convert.ToBase64String(bytes);
            text = random.Next(2) == 0 ? text : text.Replace('+', '-').Replace('/', '_');
            text = random.Next(2) == 0 ? text : text.TrimEnd('=');
            text = random.Next(2) == 0 ? text : Uri.EscapeDataString(text);
            Assert.True(PercentEncoding.TryDecodeBase64(text, out var decoded) && bytes.AsSpan().SequenceEqual(decoded), $"seed {seed}: {text}");
        }
    }

    [Fact]
    public void A_cursor_of_anything_is_refused_or_reads_back_as_it_was()
    {
        for (var seed = 0; seed < Cases; seed++)
        {
            var random = new Random(seed);
            var key = new byte[random.Next(1, 20)];
            random.NextBytes(key);
            var prefix = random.Next(key.Length + 1);
            var cursor = ListCursor.Encode(prefix, key);
            Assert.True(ListCursor.TryDecode(cursor, out var readPrefix, out var readKey), $"seed {seed}");
            Assert.True(readKey.Span.SequenceEqual(key) && readPrefix.Length == prefix, $"seed {seed}");

            var broken = cursor.ToCharArray();
            broken[random.Next(broken.Length)] = (char)random.Next(33, 127);
            if (ListCursor.TryDecode(broken, out readPrefix, out readKey))
            {
                Assert.True(readKey.Span.StartsWith(readPrefix.Span), $"seed {seed}");
            }
        }
    }

    [Fact]
    public void A_body_of_anything_is_read_as_the_framework_reads_it_or_refused()
    {
        var accepted = 0;
        for (var seed = 0; seed < Cases; seed++)
        {
            var random = new Random(seed);
            var bytes = Body(random);
            var split = Split(bytes, random);
            var problem = JsonBody.TryParsePut(split, 64, out var put, out var detail);
            Assert.True(problem is null == detail is null && (problem is null || problem == Problems.BadRequest || problem == Problems.TooLarge), $"seed {seed}: {detail}");
            Assert.True(problem == JsonBody.TryParsePut(new ReadOnlySequence<byte>(bytes), 64, out _, out _), $"seed {seed}: the cut matters");
            if (problem is null)
            {
                accepted++;
                using var document = JsonDocument.Parse(bytes);
                var root = document.RootElement;
                var value = root.EnumerateObject().First(p => p.Name.StartsWith("value", StringComparison.Ordinal) && p.Value.ValueKind == JsonValueKind.String);
                var expected = value.Name == "value" ? Encoding.UTF8.GetBytes(value.Value.GetString()!) : value.Value.GetBytesFromBase64();
                Assert.True(put.Value.Span.SequenceEqual(expected), $"seed {seed}");
            }

            problem = JsonBody.TryParseIncrement(split, out _, out detail);
            Assert.True(problem is null == detail is null, $"seed {seed}");
        }

        Assert.True(accepted > Cases / 100, $"only {accepted} of {Cases} bodies were accepted: the generator tests too little");
    }

    [Fact]
    public async Task The_door_answers_any_target_and_any_body_without_breaking()
    {
        await using var door = await DoorFixture.StartAsync();
        string[] parts = ["/", "kv", "kv/", "?", "&", "=", "%", "%2", "%2F", "..", ".", "key", "keyBase64", "prefix", "limit", "cursor", "consistency=stale", "forward=false", "Get/", "Put/", "put", "get", "delete", "a", "+", "#", "'", "\"", "<", "9", "http://h", "*", ";"];
        string[] methods = ["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "FOO"];
        for (var seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            var requests = new StringBuilder();
            for (var i = 0; i < 20; i++)
            {
                var target = "/" + string.Concat(Enumerable.Range(0, random.Next(8)).Select(_ => parts[random.Next(parts.Length)]));
                var body = Encoding.Latin1.GetString(Body(random));
                requests.Append($"{methods[random.Next(methods.Length)]} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {body.Length}\r\n\r\n{body}");
            }

            var answers = await door.RawAsync(requests + "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            Assert.StartsWith("HTTP/1.1 ", answers, StringComparison.Ordinal);
            Assert.False(answers.Contains("HTTP/1.1 500", StringComparison.Ordinal), $"seed {seed}: {answers}");
        }

        Assert.Equal(200, (await door.GetAsync("/livez")).Status);
    }

    private static byte[] Body(Random random)
    {
        var text = string.Concat(Enumerable.Range(0, random.Next(1, 9)).Select(_ => Pieces[random.Next(Pieces.Length)]));
        if (random.Next(3) == 0)
        {
            var name = random.Next(2) == 0 ? "value" : "valueBase64";
            text = $"{{\"{name}\":\"{Pieces[random.Next(Pieces.Length)].Replace("\"", "", StringComparison.Ordinal)}{new string('A', random.Next(90))}\"}}";
        }

        var bytes = Encoding.UTF8.GetBytes(text);
        if (random.Next(4) == 0)
        {
            bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
        }

        return bytes;
    }

    private static ReadOnlySequence<byte> Split(byte[] bytes, Random random)
    {
        var first = new Segment(bytes.AsMemory(0, random.Next(bytes.Length + 1)), 0);
        var last = first;
        var at = first.Memory.Length;
        while (at < bytes.Length)
        {
            var next = new Segment(bytes.AsMemory(at, random.Next(1, bytes.Length - at + 1)), at);
            last.Follow(next);
            last = next;
            at += next.Memory.Length;
        }

        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, long at)
        {
            Memory = memory;
            RunningIndex = at;
        }

        public void Follow(Segment next) => Next = next;
    }
}
