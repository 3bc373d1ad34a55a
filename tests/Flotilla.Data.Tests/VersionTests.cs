namespace Flotilla.Data.Tests;

public sealed class VersionTests
{
    public static TheoryData<Version, string> Texts => new()
    {
        { default, "0.0.0.0" },
        { new Version(1, 0, 42, 3), "1.0.42.3" },
        { new Version(uint.MaxValue, uint.MaxValue, ulong.MaxValue, ulong.MaxValue), "4294967295.4294967295.18446744073709551615.18446744073709551615" },
    };

    [Theory]
    [MemberData(nameof(Texts))]
    public void A_version_reads_back_what_it_wrote(Version version, string text)
    {
        Assert.Equal(text, version.ToString());
        Assert.True(Version.TryParse(text, out var parsed));
        Assert.Equal(version, parsed);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("1")]
    [InlineData("1.2.3")]
    [InlineData("1.2.3.")]
    [InlineData(".1.2.3")]
    [InlineData("1..2.3")]
    [InlineData("...")]
    [InlineData("1.2.3.4.5")]
    [InlineData("1.2.3.4.")]
    [InlineData("-1.2.3.4")]
    [InlineData("+1.2.3.4")]
    [InlineData("1.2.3.-0")]
    [InlineData(" 1.2.3.4")]
    [InlineData("1.2.3.4 ")]
    [InlineData("1.2.3.4\n")]
    [InlineData("1.2.3.4\0")]
    [InlineData("01.2.3.4")]
    [InlineData("1.2.00.4")]
    [InlineData("1.2.3.0x4")]
    [InlineData("1.2.3.1e1")]
    [InlineData("1,2,3,4")]
    [InlineData("1.2.3.٤")]
    [InlineData("4294967296.0.0.0")]
    [InlineData("0.4294967296.0.0")]
    [InlineData("0.0.18446744073709551616.0")]
    [InlineData("0.0.0.99999999999999999999999999")]
    public void Anything_else_is_no_version(string text)
    {
        Assert.False(Version.TryParse(text, out var version));
        Assert.True(version.IsNone);
    }

    [Fact]
    public void Versions_are_ordered_by_slot_epoch_then_mode_epoch_then_counter_then_sub()
    {
        Version[] ascending =
        [
            Version.None, new(0, 0, 0, 1), new(0, 0, 1, 0), new(0, 0, 1, 9), new(0, 1, 0, 0), new(0, 1, ulong.MaxValue, 0),
            new(1, 0, 0, 0), new(1, 0, 0, ulong.MaxValue), new(uint.MaxValue, 0, 0, 0),
        ];

        for (var i = 0; i < ascending.Length; i++)
        {
            for (var j = 0; j < ascending.Length; j++)
            {
                Assert.Equal(i.CompareTo(j), Math.Sign(ascending[i].CompareTo(ascending[j])));
            }
        }
    }
}
