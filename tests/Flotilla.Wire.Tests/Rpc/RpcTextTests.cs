using Flotilla.Wire.Rpc;

namespace Flotilla.Wire.Tests.Rpc;

public sealed class RpcTextTests
{
    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("100 %", "100 %25")]
    [InlineData("line\nbreak", "line%0Abreak")]
    [InlineData("größer", "gr%C3%B6%C3%9Fer")]
    [InlineData("", "")]
    public void A_message_is_percent_encoded_and_comes_back(string text, string encoded)
    {
        Assert.Equal(encoded, RpcText.PercentEncode(text));
        Assert.Equal(text, RpcText.PercentDecode(encoded));
    }

    [Theory]
    [InlineData("%")]
    [InlineData("%4")]
    [InlineData("50% off")]
    [InlineData("%zz")]
    public void A_message_that_is_not_properly_encoded_stays_as_it_is(string text) => Assert.Equal(text, RpcText.PercentDecode(text));

    [Theory]
    [InlineData("5S", 5000)]
    [InlineData("1500m", 1500)]
    [InlineData("2M", 120_000)]
    [InlineData("1H", 3_600_000)]
    [InlineData("250000u", 250)]
    [InlineData("99999999n", 99.9999999)]
    [InlineData("0m", 0)]
    public void A_timeout_is_read_in_every_unit(string text, double ms)
    {
        Assert.True(RpcText.TryParseTimeout(text, out var timeout));
        Assert.Equal(ms, timeout.TotalMilliseconds, 3);
    }

    [Theory]
    [InlineData("")]
    [InlineData("S")]
    [InlineData("5")]
    [InlineData("-5S")]
    [InlineData("1.5S")]
    [InlineData("123456789m")]
    [InlineData("5s")]
    [InlineData(" 5S")]
    public void What_is_no_timeout_is_refused(string text) => Assert.False(RpcText.TryParseTimeout(text, out _));

    [Fact]
    public void A_timeout_is_written_in_eight_digits_and_never_shorter_than_asked()
    {
        foreach (var ms in new[] { 0, 0.1, 1, 999, 99_999_999.0, 100_000_000, 12_345_678_901, 1e13 })
        {
            var text = RpcText.FormatTimeout(TimeSpan.FromMilliseconds(ms));
            Assert.True(RpcText.TryParseTimeout(text, out var back), text);
            Assert.True(back.TotalMilliseconds >= ms && back > TimeSpan.Zero, text);
        }
    }
}
