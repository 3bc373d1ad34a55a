using System.Text;
using Flotilla.Server.Http;
using Flotilla.Server.Tests.Fakes;
using Flotilla.Shards;

namespace Flotilla.Server.Tests.Http;

public sealed class ListTests
{
    [Fact]
    public async Task Pages_follow_one_another_in_key_order_until_the_last()
    {
        await using var door = await DoorFixture.StartAsync();
        foreach (var i in Enumerable.Range(0, 25))
        {
            await door.PutAsync($"/kv/user/{i:00}", $"v{i}");
        }

        await door.PutAsync("/kv/zebra", "z");
        var keys = new List<string>();
        var cursor = "";
        var pages = 0;
        do
        {
            var page = (await door.GetAsync($"/kv?prefix=user%2F&limit=10&cursor={cursor}")).Json;
            keys.AddRange(page.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("key").GetString()!));
            cursor = page.TryGetProperty("cursor", out var next) ? next.GetString() : null;
            pages++;
        }
        while (cursor is not null);
        Assert.Equal(3, pages);
        Assert.Equal(string.Join(' ', Enumerable.Range(0, 25).Select(i => $"user/{i:00}")), string.Join(' ', keys));

        // A cursor alone carries its prefix along.
        var first = (await door.GetAsync("/kv?prefix=user/&limit=24")).Of("cursor");
        var last = (await door.GetAsync("/kv?cursor=" + first)).Json.GetProperty("items");
        Assert.Equal("user/24", Assert.Single(last.EnumerateArray()).GetProperty("key").GetString());
    }

    [Fact]
    public async Task An_empty_listing_and_a_record_of_bytes_have_their_form()
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Equal("{\"items\":[]}", (await door.GetAsync("/kv")).Text);
        await door.SendAsync("PUT", "/kv/%FF", bytes: [0xFE]);
        Assert.Equal("{\"items\":[{\"keyBase64\":\"/w==\",\"valueBase64\":\"/g==\",\"version\":\"1.0.1.0\"}]}", (await door.GetAsync("/kv?limit=1&prefix=%FF")).Text);
    }

    [Fact]
    public async Task What_is_asked_reaches_the_gateway()
    {
        var asked = new List<ScanRequest>();
        await using var door = await DoorFixture.StartAsync(o => o with { MaxPageBytes = 4321 }, new FakeGateway
        {
            OnScan = request =>
            {
                asked.Add(request);
                return null;
            },
        });
        await door.GetAsync("/kv?prefix=a+b%2Bc&limit=7");
        await door.GetAsync("/kv?cursor=" + ListCursor.Encode(1, "from"u8));
        Assert.Equal(("a b+c", "", 7, 4321), (Text(asked[0].Prefix), Text(asked[0].From), asked[0].Limit, asked[0].MaxBytes));
        Assert.Equal(("f", "from", 100), (Text(asked[1].Prefix), Text(asked[1].From), asked[1].Limit));

        static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);
    }

    [Theory]
    [InlineData("limit=0")]
    [InlineData("limit=10001")]
    [InlineData("limit=-1")]
    [InlineData("limit=ten")]
    [InlineData("limit=")]
    [InlineData("cursor=***")]
    [InlineData("cursor=AAAA")]
    [InlineData("cursor=Af__YQ")]
    [InlineData("prefix=%f")]
    [InlineData("prefix=b&cursor=AQABYWI")]
    [InlineData("keyBase64=YQ&limit=5")]
    [InlineData("page=2")]
    public async Task A_listing_that_makes_no_sense_is_a_bad_request(string query)
    {
        await using var door = await DoorFixture.StartAsync();
        (await door.GetAsync("/kv?" + query)).IsProblem(400, "bad_request");
        Assert.Empty(door.Gateway.Reads);
    }
}
